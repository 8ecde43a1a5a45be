"""The service, its processes, its containers and its console, for tests."""
