"""Which schema a database has: its version, and what the database notes of it."""
