"""The tests of what was enabled, one folder for each extension."""
