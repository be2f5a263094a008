"""Tools for development. Nothing in here is deployed."""
