"""A plan as C, compiled when it is needed."""
