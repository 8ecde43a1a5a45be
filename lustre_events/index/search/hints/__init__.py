"""Why a search finds nothing, and what would be found: one sentence each, and a repaired query."""
