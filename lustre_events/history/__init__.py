"""History: who did what to a file, and when. Raw records, kept for days in compressed segments, and read again.

`keeper` is a subscriber that writes; `archive` finds records by FID, directory and name; `story` makes a history of
them, with the paths that things had at that time; `sight` leaves out what a viewer may not see.
"""
