"""Sentry gets unexpected errors, nothing that was sent to the service, and may fail in every way."""
