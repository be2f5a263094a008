"""The command-line program: what plain Copier cannot do safely."""
