"""What an opened backend works with: its connections, its transaction, its version."""
