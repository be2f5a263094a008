"""Spans of requests arrive, nothing that was sent to the service does, and the collector may fail in every way."""
