"""What is kept in Redis: record blocks, leases, results; see `interface`."""
