"""pypika criteria and queries in, SQL text and parameters out."""
