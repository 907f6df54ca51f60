"""Log-densities under the names, arguments and parameters of `scipy.stats`.

Every function is plain NumPy and `scipy.special`, so the same code runs on numbers, on arrays and on traced
values. As in SciPy, a point outside the support has density zero (log-density ``-inf``) and an invalid
parameter gives ``nan``; neither warns. Arguments broadcast against each other.

A tape holds no check that is not needed. If the formula gives ``nan`` for an invalid parameter by itself,
there is no check of this parameter. If plain data are all inside the support, their check is not on the tape.
"""

from tapegrad.stats.counts import bernoulli, nbinom, poisson
from tapegrad.stats.gammas import expon, rayleigh
from tapegrad.stats.normals import norm

__all__ = ["bernoulli", "expon", "nbinom", "norm", "poisson", "rayleigh"]
