"""How many points are enough? The truth at n points, networks of n points, and a formula."""
