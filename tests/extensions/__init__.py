"""What an extension promises, seen from outside: generated services with the real servers that they work with."""
