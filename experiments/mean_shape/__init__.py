"""What does a set distance make of what it is not told? Mean shapes of families with one hidden variable."""
