"""Which schema a database has: its version, and what the database records of it."""
