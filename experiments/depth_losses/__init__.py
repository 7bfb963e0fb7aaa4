"""Why an L_p loss is not enough to learn depth."""
