"""The service: `main` puts together what `core`, `extensions` and `features` hand over."""
