"""Several answers to an image that does not tell everything: what the min-of-N loss finds over its N."""
