"""Mixed models by formula: a front that writes the joint log-likelihood in NumPy and calls `fit`."""
