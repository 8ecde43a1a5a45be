"""The index: names, pending work and documents, and the search over them."""
