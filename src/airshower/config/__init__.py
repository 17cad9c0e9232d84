"""From the command line to typed objects, and the record of what was run."""
