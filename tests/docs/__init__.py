"""The documentation, held to what it says: its commands run, its links lead somewhere, its tables are complete."""
