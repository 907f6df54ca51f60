"""A time series whose variance has a memory, as a loop; look at its tape in a browser with

tapegrad show examples/garch.py:loglik --html garch.html \\
    --start mu=0 --start omega=0.1 --start alpha=0.1 --start beta=0.8
"""

from typing import Any

import numpy as np

RETURNS = np.round(np.random.default_rng(3).standard_t(5.0, size=60), 2)


def loglik(mu: Any, omega: Any, alpha: Any, beta: Any) -> Any:
    """GARCH(1, 1), up to a constant (T. Bollerslev 1986)."""
    variance = RETURNS.var()
    total = 0.0
    for value in RETURNS:
        shock = value - mu
        total = total - 0.5 * (np.log(variance) + shock**2 / variance)
        variance = omega + alpha * shock**2 + beta * variance
    return total
