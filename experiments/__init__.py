"""Questions put to lit3d: each with its claim, command, expected numbers and analysis."""
