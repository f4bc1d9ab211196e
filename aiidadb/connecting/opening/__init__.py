"""How one connection is made: its options, hosts, encryption, and what kept it from being made."""
