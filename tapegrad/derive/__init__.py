"""Tape -> Tape: the derivative of a tape is a tape."""
