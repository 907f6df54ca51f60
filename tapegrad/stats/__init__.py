"""Log-densities under the names, arguments and parameters of `scipy.stats`.

Every function is plain NumPy and `scipy.special`, so the same code runs on numbers, on arrays and on traced
values. As in SciPy, a point outside the support has density zero (log-density ``-inf``) and an invalid
parameter gives ``nan``; neither warns. Arguments broadcast against each other.

A tape holds no check that is not needed. If the formula gives ``nan`` for an invalid parameter by itself,
there is no check of this parameter. If plain data are all inside the support, their check is not on the tape.
"""

from tapegrad.stats.betas import beta, beta_mean, f
from tapegrad.stats.binomials import betabinom, binom, geom, hypergeom
from tapegrad.stats.bounded import triang, uniform, vonmises
from tapegrad.stats.compositions import categorical, dirichlet, dirichlet_multinomial, multinomial
from tapegrad.stats.counts import bernoulli, nbinom, poisson
from tapegrad.stats.dispersed import genpoisson, nbinom_mu
from tapegrad.stats.exponentials import expon, rayleigh
from tapegrad.stats.extremes import genextreme, gumbel_l, gumbel_r, weibull_max, weibull_min
from tapegrad.stats.fields import (
    ar1,
    multivariate_normal_chol,
    multivariate_normal_prec,
    random_walk,
    separable_normal,
)
from tapegrad.stats.gammas import chi2, gamma, gamma_mean, gengamma, invgamma
from tapegrad.stats.inflated import hurdle, zero_inflated
from tapegrad.stats.intervals import censored, truncated, truncnorm
from tapegrad.stats.matrices import lkj, multivariate_normal, multivariate_t, wishart
from tapegrad.stats.normals import norm
from tapegrad.stats.paretos import genpareto, pareto
from tapegrad.stats.series import cmpoisson, skellam, tweedie
from tapegrad.stats.skewed import exponnorm, halfnorm, invgauss, lognorm, skewnorm
from tapegrad.stats.symmetric import cauchy, halfcauchy, laplace, logistic, t

__all__ = [
    "ar1",
    "bernoulli",
    "beta",
    "beta_mean",
    "betabinom",
    "binom",
    "categorical",
    "cauchy",
    "censored",
    "chi2",
    "cmpoisson",
    "dirichlet",
    "dirichlet_multinomial",
    "expon",
    "exponnorm",
    "f",
    "gamma",
    "gamma_mean",
    "genextreme",
    "gengamma",
    "genpareto",
    "genpoisson",
    "geom",
    "gumbel_l",
    "gumbel_r",
    "halfcauchy",
    "halfnorm",
    "hurdle",
    "hypergeom",
    "invgamma",
    "invgauss",
    "laplace",
    "lkj",
    "logistic",
    "lognorm",
    "multinomial",
    "multivariate_normal",
    "multivariate_normal_chol",
    "multivariate_normal_prec",
    "multivariate_t",
    "nbinom",
    "nbinom_mu",
    "norm",
    "pareto",
    "poisson",
    "random_walk",
    "rayleigh",
    "separable_normal",
    "skellam",
    "skewnorm",
    "t",
    "triang",
    "truncated",
    "truncnorm",
    "tweedie",
    "uniform",
    "vonmises",
    "weibull_max",
    "weibull_min",
    "wishart",
    "zero_inflated",
]
