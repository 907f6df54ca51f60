"""Running the user's function on tracers, and the structure of its parameters."""
