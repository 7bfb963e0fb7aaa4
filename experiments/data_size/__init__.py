"""Reconstruction or recognition? Scores over the amount of training data, and on categories that were left out."""
