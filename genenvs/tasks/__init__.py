"""One folder per environment family; every id is declared here, as strings."""
