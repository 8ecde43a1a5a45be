"""Where records come from: `lustre`, `directory`, `replay`; see `interface`."""
