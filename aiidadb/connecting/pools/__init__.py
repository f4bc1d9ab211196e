"""One pool for each profile: who waits for a place in it, and who has borrowed it."""
