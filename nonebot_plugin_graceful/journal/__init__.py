"""What survives a restart: requests, the results of their steps, and what was already answered."""
