"""Builders, strategies and recordings of changelog records."""
