"""AiiDA's QueryBuilder: its dictionaries compiled to SQL, and run without blocking."""
