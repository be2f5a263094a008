"""Generated services as their callers and operators meet them: real processes, real sockets, real databases."""
