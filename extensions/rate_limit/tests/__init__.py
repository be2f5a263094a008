"""The tests of the limits."""
