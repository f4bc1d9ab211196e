"""What is known of asyncpg's inside, and what is done to a connection beneath all else."""
