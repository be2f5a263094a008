"""The tests of orders."""
