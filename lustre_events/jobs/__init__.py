"""What travels through Redis between processes: jobs and results, requests of people, and RQ's queues."""
