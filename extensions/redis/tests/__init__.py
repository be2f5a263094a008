"""The tests of the cache and the locks, on a real server."""
