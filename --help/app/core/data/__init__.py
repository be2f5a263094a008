"""The database: its engine and connections, transactions, errors and revision."""
