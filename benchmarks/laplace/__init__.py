"""Models with random effects, timed beside TMB."""
