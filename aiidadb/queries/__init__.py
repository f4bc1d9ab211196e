"""What can be asked of a database and done with it, one file per subject."""
