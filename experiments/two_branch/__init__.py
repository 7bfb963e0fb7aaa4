"""Which branch draws the main body, which the details? Four heads at equal parameters."""
