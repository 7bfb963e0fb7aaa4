"""What depth sensors make of one scene."""
