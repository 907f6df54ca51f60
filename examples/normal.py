"""A model for the command line; fit it with

tapegrad fit examples/normal.py:loglik --data docs/data/normal.csv --start mu=0 --start log_sigma=0
"""

from typing import Any

import numpy as np

from tapegrad.stats import norm


def loglik(mu: Any, log_sigma: Any, x: Any) -> Any:
    """Normal observations, a column called x."""
    return norm.logpdf(x, mu, np.exp(log_sigma)).sum()
