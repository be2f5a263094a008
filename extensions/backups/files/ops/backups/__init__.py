"""Backups of the database, and of files that belong to it: made, checked, kept elsewhere, restored. docs/backups.md."""
