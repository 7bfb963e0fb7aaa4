"""Exact against approximate Earth Mover's Distance as a training loss."""
