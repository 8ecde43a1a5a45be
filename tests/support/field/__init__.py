"""A machine of its own for the test in the field: Debian with systemd as process 1, in namespaces."""
