"""Network topologies, one a file, each over a set of operations."""
