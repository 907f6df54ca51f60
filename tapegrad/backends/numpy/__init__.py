"""The NumPy backend: a plan as Python source, compiled and bound to buffers."""
