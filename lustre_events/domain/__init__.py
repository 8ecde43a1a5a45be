"""What records mean, as pure functions over values: names, pending work, batches of changes. No I/O."""
