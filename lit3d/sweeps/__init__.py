"""Sweeps: which folder a command means, jobs that do not stop each other, what is said at the end, launchers."""
