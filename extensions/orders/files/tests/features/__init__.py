"""The tests of your slices."""
