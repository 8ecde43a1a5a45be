"""Lustre's changelog as values: FIDs, records, records as text; and `lctl` for its users and masks."""
