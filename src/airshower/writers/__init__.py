"""What a run leaves behind besides checkpoints: scalars and figures."""
