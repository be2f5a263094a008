"""The tests of uploads."""
