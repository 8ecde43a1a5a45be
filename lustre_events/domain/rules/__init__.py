"""Rules: which extractor runs on which files. Files, conditions, review. No I/O."""
