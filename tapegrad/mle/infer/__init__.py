"""What follows from a fit: errors, tests, intervals, functions of the parameters."""
