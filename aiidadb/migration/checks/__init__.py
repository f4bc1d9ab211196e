"""What can be seen to stand in a migration's way, looked for before the first change."""
