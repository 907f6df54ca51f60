"""Why JAX cannot run some of the ops: a reason for each of those that have no form."""

from __future__ import annotations

from typing import Final

_SPECIAL: Final = (
    "JAX has no such function, and none of which it could be made in a few lines with all digits"
)
# fmt: off
_REASONS: Final[dict[str, tuple[str, ...]]] = {
    "it is found step by step, by a search that JAX does not have": (
        "gammaincinv", "gammainccinv", "betaincinv", "betainccinv", "stdtrit", "fdtri", "ndtri_exp",
        "gamma_ppf", "gamma_isf", "odds_ppf", "odds_isf", "t_ppf", "skewnorm_ppf", "exponnorm_ppf",
        "exponnorm_isf", "wald_ppf", "wald_isf", "vonmises_ppf", "compound_ppf", "compound_isf",
        "invgauss_ppf", "invgauss_isf", "kolmogi", "kolmogorov_quantile", "tklmbda", "wrightomega",
        "omega_share", "omega_rest", "lambertw_0", "lambertw_below",
    ),
    "it is a sum of as many terms as its arguments ask for": (
        "poisson_density", "poisson_gammainc", "poisson_gammaincc", "noncentral_gammainc",
        "noncentral_gammaincc", "poisson_beta_density", "poisson_betainc", "poisson_betaincc",
        "kolmogorov", "kolmogorov_slope", "kolmogorov_cdf", "hyp0f1", "hyp0f1_slope", "hyp1f1",
        "hyp1f1_slope", "hyp2f1", "hyp2f1_slope", "hyperu",
    ),
    "JAX factorises dense matrices alone": (
        "sparse_inverse", "sparse_logdet", "sparse_solve", "solve_banded",
    ),
    "JAX has no such function of a matrix, or on processors alone": (
        "logm", "sqrtm", "cosm", "sinm", "real_eigenvalues", "real_eigenvectors",
    ),
    "JAX puts the elements of either side in another order": (
        "partition_order", "argpartition",
    ),
    "it is code of your own in NumPy": (
        "given",
    ),
}
# fmt: on
_BY_NAME: Final = {name: reason for reason, names in _REASONS.items() for name in names}


def reason(name: str) -> str:
    """Why JAX cannot run an op without a form."""
    return _BY_NAME.get(name, _SPECIAL)
