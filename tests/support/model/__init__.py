"""Models of a file system, and the service around them in this process."""
