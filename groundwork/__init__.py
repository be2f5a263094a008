"""The command-line program: does safely what plain Copier cannot."""
