"""Traced functions: paths, guards, and what is derived and run on each path."""
