"""The servers that the service needs, from wheels: one module each, with `VARIABLE` and `serve(directory)`."""
