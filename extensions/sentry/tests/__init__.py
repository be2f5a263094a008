"""Sentry gets what nobody expected, nothing that was sent to the service, and may fail in every way."""
