"""Settings: what they are, their defaults, and how TOML files become values."""
