"""What operators see: logs, the access log, redaction, and who counts as an operator."""
