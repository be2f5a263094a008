"""The cost of each extension for a request."""
