"""A Bayesian regression: the log-posterior by tapegrad, the sampler by nutpie.

Run it with ``python examples/sample_with_nutpie.py``, after ``python -m pip install -e ".[samplers]"``.
"""

from typing import Any

import numpy as np

from tapegrad import fit
from tapegrad.samplers import LogDensity, nutpie_model
from tapegrad.stats import norm, poisson

dose = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0])
damaged = np.array([18.0, 13.0, 20.0, 11.0, 9.0, 8.0, 5.0, 6.0, 3.0, 2.0, 4.0, 1.0])


def log_posterior(intercept: Any, slope: Any) -> Any:
    """Poisson counts, and wide normal priors."""
    prior = norm.logpdf(intercept, 0.0, 10.0) + norm.logpdf(slope, 0.0, 10.0)
    return poisson.logpmf(damaged, np.exp(intercept + slope * dose)).sum() + prior


def main() -> None:
    """Fit, sample from there, and print both."""
    import nutpie

    mode = fit(log_posterior, {"intercept": 0.0, "slope": 0.0})
    density = LogDensity(log_posterior, mode.params)
    trace = nutpie.sample(nutpie_model(density), draws=1000, tune=500, chains=2, seed=1, progress_bar=False)
    for name, estimate, error in zip(mode.names, mode.x, mode.bse, strict=True):
        draws = np.asarray(trace.posterior[name])
        print(
            f"{name:<10} mode {estimate:8.4f} ({error:.4f})    mean {draws.mean():8.4f} ({draws.std():.4f})"
        )


if __name__ == "__main__":
    main()
