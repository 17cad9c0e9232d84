"""Network topologies."""
