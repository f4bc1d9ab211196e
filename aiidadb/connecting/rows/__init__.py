"""Rows as they come: from a cursor on the server, or with cells that Python cannot hold."""
