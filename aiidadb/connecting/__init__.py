"""From a profile to a connection: configuration, DSNs, pools and sessions.

``profiles`` says which database is meant, ``opening`` connects to it, ``pools`` keeps connections,
``sessions`` lends them to managers with their transactions, and ``rows`` gives what they read a few
rows at a time. ``driver`` has what is known of asyncpg's inside.
"""
