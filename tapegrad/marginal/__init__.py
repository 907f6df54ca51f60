"""Marginal likelihoods: a joint log-likelihood with some of its unknowns integrated out."""
