"""One optimizer step, learning-rate schedules, checkpoints."""
