"""The tests of the core: they need no feature, and bring what they test with."""
