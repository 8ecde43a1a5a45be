"""The workers on the compute nodes: what RQ calls, and the containers it runs."""
