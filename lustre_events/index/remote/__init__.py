"""The index of a site, asked over HTTPS with a personal token: the client of the console's `/api/v1`."""
