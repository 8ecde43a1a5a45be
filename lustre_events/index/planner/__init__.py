"""What a query means in SQL, written once (planner.py), and what databases say differently (dialect.py)."""
