"""The logs, their redaction, and the access of operators."""
