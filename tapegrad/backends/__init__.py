"""What runs a tape."""
