"""API keys: who gets in, who does not, and what is said about it."""
