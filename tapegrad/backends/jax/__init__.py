"""A plan as a JAX function, for the devices that JAX has."""
