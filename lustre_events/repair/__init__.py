"""Commands that make the index right again: scan, verify, reprocess, failed files, replay."""
