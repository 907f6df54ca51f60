"""The same fit again and again: bootstrap, leaving out, simulation."""
