"""The tests of what was ticked, one folder for each extension."""
