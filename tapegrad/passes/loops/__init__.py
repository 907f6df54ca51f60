"""Loops of the user's code, found in the record and written as array code."""
