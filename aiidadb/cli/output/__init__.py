"""How answers look: colours and progress on terminals only, JSON for scripts."""
