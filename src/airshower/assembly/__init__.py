"""From words such as `network=uresnet` to a run, and from a checkpoint to its network: for the command line and for
Python alike."""
