"""From a profile to a connection: configuration, DSNs, pools and sessions."""
