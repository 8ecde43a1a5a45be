"""The processes of one node: wiring, supervisor, private Redis, systemd, logs, sandbox and demo."""
