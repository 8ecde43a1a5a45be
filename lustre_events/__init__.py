"""Every change in a Lustre file system becomes a searchable document."""
