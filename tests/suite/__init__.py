"""Every family of extractors under the same rules, in its real container."""
