"""The search for the maximum."""
