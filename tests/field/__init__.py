"""The whole as it is shipped: the blocks of deploy/README.md on a machine with systemd, and what happens to it."""
