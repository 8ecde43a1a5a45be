"""Indexes for tests, on both databases, and what they hold."""
