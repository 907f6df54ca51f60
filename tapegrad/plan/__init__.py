"""A tape as stages: scalars, loops over rows, and what needs whole arrays."""
