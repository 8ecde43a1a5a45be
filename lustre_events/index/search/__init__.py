"""Searches over any database that `reading` describes: pages, hits, views, cursors, subtrees."""
