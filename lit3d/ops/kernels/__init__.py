"""Compiled CPU kernels (numba). Each takes plain arrays of one sample; the public functions beside `kernels/` check."""
