"""The tests of idempotency keys."""
