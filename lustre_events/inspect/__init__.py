"""Commands and pages that look and change nothing: status, metrics, explain, tail."""
