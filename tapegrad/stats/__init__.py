"""Log-densities under the names, arguments and parameters of `scipy.stats`.

Every function is plain NumPy and `scipy.special`, so the same code runs on numbers, on arrays and on traced
values. As in SciPy, a point outside the support has density zero (log-density ``-inf``) and an invalid
parameter gives ``nan``; neither warns. Arguments broadcast against each other.

A tape holds no check that is not needed. If the formula gives ``nan`` for an invalid parameter by itself,
there is no check of this parameter. If plain data are all inside the support, their check is not on the tape.
"""

from tapegrad.stats.betas import beta, beta_mean, f
from tapegrad.stats.binomials import betabinom, binom, geom, hypergeom
from tapegrad.stats.bounded import triang, uniform
from tapegrad.stats.counts import bernoulli, nbinom, poisson
from tapegrad.stats.exponentials import expon, rayleigh
from tapegrad.stats.extremes import genextreme, gumbel_l, gumbel_r, weibull_max, weibull_min
from tapegrad.stats.gammas import chi2, gamma, gamma_mean, gengamma, invgamma
from tapegrad.stats.normals import norm
from tapegrad.stats.paretos import genpareto, pareto
from tapegrad.stats.skewed import exponnorm, halfnorm, invgauss, lognorm, skewnorm
from tapegrad.stats.symmetric import cauchy, halfcauchy, laplace, logistic, t

__all__ = [
    "bernoulli",
    "beta",
    "beta_mean",
    "betabinom",
    "binom",
    "cauchy",
    "chi2",
    "expon",
    "exponnorm",
    "f",
    "gamma",
    "gamma_mean",
    "genextreme",
    "gengamma",
    "genpareto",
    "geom",
    "gumbel_l",
    "gumbel_r",
    "halfcauchy",
    "halfnorm",
    "hypergeom",
    "invgamma",
    "invgauss",
    "laplace",
    "logistic",
    "lognorm",
    "nbinom",
    "norm",
    "pareto",
    "poisson",
    "rayleigh",
    "skewnorm",
    "t",
    "triang",
    "uniform",
    "weibull_max",
    "weibull_min",
]
