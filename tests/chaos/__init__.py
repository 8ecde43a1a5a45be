"""Whatever is killed, paused, filled or lost, over and over: `python -m tests.chaos` (make chaos)."""
