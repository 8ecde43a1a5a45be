"""Searches over any database that gives what `index/backend.py` asks of it: pages, hits, views, cursors."""
