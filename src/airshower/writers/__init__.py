"""Outputs of a run in addition to checkpoints: scalars, tables and figures."""
