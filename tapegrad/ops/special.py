"""The elementwise functions of scipy.special, and the polygamma family.

Derivatives: NIST Digital Library of Mathematical Functions, chapters 5 (gamma), 7 (error functions), 8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from tapegrad.ops.elementwise import POSITIVE, cbrt, exp, exp2, expm1, log, log1p, square
from tapegrad.ops.registry import NUMPY, Gate, Op, Per, elementwise

# scipy.special has ufuncs of its own for these.
NUMPY.update({special.expm1: expm1, special.log1p: log1p, special.exp2: exp2, special.cbrt: cbrt})

PROBABILITY = (0.1, 0.9)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
SQRT_2PI = math.sqrt(2.0 * math.pi)
SQRT_HALF = math.sqrt(0.5)

# The gamma family -------------------------------------------------------------------------------------------

gammaln = elementwise("gammaln", special.gammaln, lambda out, x: digamma(x), domain=POSITIVE)
digamma: Op = elementwise("digamma", special.digamma, lambda out, x: polygamma(1.0, x), domain=POSITIVE)


def _polygamma(n: Any, x: Any, out: Any = None) -> Any:
    value = special.polygamma(n, x)
    if out is None:
        return value[()]
    np.copyto(out, value)
    return out


polygamma: Op = elementwise(
    "polygamma",
    _polygamma,
    None,
    lambda out, n, x: polygamma(n + 1.0, x),
    domain=((1.0, 1.0), POSITIVE),
    numpy=(special.polygamma,),
)
gamma = elementwise("gamma", special.gamma, (lambda out, x: out, lambda out, x: digamma(x)), domain=POSITIVE)
beta = elementwise(
    "beta",
    special.beta,
    lambda out, a, b: out * (digamma(a) - digamma(a + b)),
    lambda out, a, b: out * (digamma(b) - digamma(a + b)),
    domain=POSITIVE,
)
betaln = elementwise(
    "betaln",
    special.betaln,
    lambda out, a, b: digamma(a) - digamma(a + b),
    lambda out, a, b: digamma(b) - digamma(a + b),
    domain=POSITIVE,
)

# Error functions and the normal distribution ----------------------------------------------------------------

erf = elementwise("erf", special.erf, lambda out, x: TWO_OVER_SQRT_PI * exp(-square(x)))
erfc = elementwise("erfc", special.erfc, lambda out, x: -TWO_OVER_SQRT_PI * exp(-square(x)))
erfcx = elementwise("erfcx", special.erfcx, lambda out, x: 2.0 * x * out - TWO_OVER_SQRT_PI)
erfinv = elementwise(
    "erfinv", special.erfinv, lambda out, x: exp(square(out)) / TWO_OVER_SQRT_PI, domain=(-0.9, 0.9)
)
ndtr = elementwise("ndtr", special.ndtr, lambda out, x: exp(-0.5 * square(x)) / SQRT_2PI)
ndtri = elementwise(
    "ndtri", special.ndtri, lambda out, x: SQRT_2PI * exp(0.5 * square(out)), domain=PROBABILITY
)
# The inverse Mills ratio by erfcx keeps its digits far in the tail, where exp(-x**2 / 2 - out) loses them.
log_ndtr = elementwise("log_ndtr", special.log_ndtr, lambda out, x: (2.0 / SQRT_2PI) / erfcx(-SQRT_HALF * x))

# Logistic functions -----------------------------------------------------------------------------------------

expit: Op = elementwise("expit", special.expit, lambda out, x: out * expit(-x))
log_expit = elementwise("log_expit", special.log_expit, lambda out, x: expit(-x))
logit = elementwise(
    "logit", special.logit, (Per(lambda out, x: x), Per(lambda out, x: 1.0 - x)), domain=PROBABILITY
)


def _softplus(x: Any, out: Any = None) -> Any:
    return np.logaddexp(0.0, x, out=out)


softplus = elementwise("softplus", _softplus, lambda out, x: expit(x), numpy=())

# Products with a logarithm ----------------------------------------------------------------------------------


# 0 * log(y) is 0 for every y, so its slope is 0 too, at y = 0 as well.
xlogy = elementwise(
    "xlogy",
    special.xlogy,
    lambda out, x, y: log(y),
    (Per(lambda out, x, y: y), Gate(lambda out, x, y: x)),
    domain=POSITIVE,
)
xlog1py = elementwise(
    "xlog1py",
    special.xlog1py,
    lambda out, x, y: log1p(y),
    (Per(lambda out, x, y: 1.0 + y), Gate(lambda out, x, y: x)),
    domain=(POSITIVE, (-0.9, 0.9)),
)
