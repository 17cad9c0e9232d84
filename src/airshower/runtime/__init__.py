"""The machine: ranks, device and precision, seeds, stop signals, log, timers."""
