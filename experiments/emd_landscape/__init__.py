"""Is the Earth Mover's Distance continuous? Where is it differentiable? A picture that answers."""
