"""The `ecoserve` command: what the library knows, at a terminal, without a cluster."""
