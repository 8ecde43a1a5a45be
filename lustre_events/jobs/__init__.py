"""What travels through Redis between processes: jobs and results, people's requests, and RQ's queues."""
