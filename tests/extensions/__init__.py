"""The promises of extensions, seen from outside: generated services with the real servers that they work with."""
