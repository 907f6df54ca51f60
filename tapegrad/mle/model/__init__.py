"""What is fitted: a log-likelihood in free coordinates, with its transforms, rows and data."""
