"""Backends: the engine and pool of the database, transactions and migrations."""
