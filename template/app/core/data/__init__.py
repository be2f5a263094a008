"""The database: engine, connections, transactions, statements and revision."""
