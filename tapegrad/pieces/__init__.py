"""Tapes over data that are not in one piece: numbers go out to pieces of the rows, sums come back."""
