"""Real servers for tests: Redis, PostgreSQL, Slurm."""
