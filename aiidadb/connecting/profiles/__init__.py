"""Which database, as whom, with which files: DSNs, libpq's keys and AiiDA's configuration."""
