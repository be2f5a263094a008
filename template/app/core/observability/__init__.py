"""Logs, the access log, and the redaction of secrets."""
