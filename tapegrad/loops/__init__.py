"""Loops that the user states outright, `tapegrad.scan` and `tapegrad.map`."""
