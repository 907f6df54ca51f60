"""Orthogonal polynomials of scipy.special in their argument, and trigonometry in degrees.

Derivatives are polynomials of the next lower degree (NIST Digital Library of Mathematical Functions, 18.9).
The degree is a whole number; another one is computed as SciPy does, and has the same derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.elementwise import square
from tapegrad.ops.orders import no_slope_in
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, Partial, elementwise, implements, written

AT = np.array([-0.6, 0.2, 0.9])


def _polynomial(name: str, slope: Callable[..., Any], shapes: int = 0, sample: Any = ()) -> Op:
    """Of the degree, so many parameters, and the argument."""
    ufunc = getattr(special, name)
    takes_any = "d" * (shapes + 2) + "->d" in ufunc.types

    def kernel(n: Any, *arguments: Any, out: Any = None) -> Any:
        n = np.asarray(n)
        whole = n.astype(int)
        # Of a degree below 0 there is nothing: such a term stands behind a factor of 0.
        if np.array_equal(whole, n):
            value = ufunc(whole, *arguments)
        else:
            value = (
                ufunc(n, *arguments) if takes_any else np.where(whole == n, ufunc(whole, *arguments), np.nan)
            )
        return written(np.where(n < 0.0, 0.0, value), out)

    fixed: tuple[Partial, ...] = tuple(no_slope_in(name, "its parameters") for _ in range(shapes))
    return elementwise(
        name, kernel, None, *fixed, slope, numpy=(ufunc,), samples=((np.array([0, 1, 4]), *sample, AT),)
    )


eval_gegenbauer: Op = _polynomial(
    "eval_gegenbauer", lambda out, n, a, x: 2.0 * a * eval_gegenbauer(n - 1.0, a + 1.0, x), 1, (2,)
)
eval_jacobi: Op = _polynomial(
    "eval_jacobi",
    lambda out, n, a, b, x: 0.5 * (n + a + b + 1.0) * eval_jacobi(n - 1.0, a + 1.0, b + 1.0, x),
    2,
    (1, 2),
)
eval_genlaguerre: Op = _polynomial(
    "eval_genlaguerre", lambda out, n, a, x: -eval_genlaguerre(n - 1.0, a + 1.0, x), 1, (2,)
)
eval_hermite: Op = _polynomial("eval_hermite", lambda out, n, x: 2.0 * n * eval_hermite(n - 1.0, x))
eval_hermitenorm: Op = _polynomial("eval_hermitenorm", lambda out, n, x: n * eval_hermitenorm(n - 1.0, x))
eval_laguerre = _polynomial("eval_laguerre", lambda out, n, x: -eval_genlaguerre(n - 1.0, 1.0, x))
eval_legendre = _polynomial("eval_legendre", lambda out, n, x: eval_gegenbauer(n - 1.0, 1.5, x))
eval_chebyu = _polynomial("eval_chebyu", lambda out, n, x: 2.0 * eval_gegenbauer(n - 1.0, 2.0, x))
eval_chebyt = _polynomial("eval_chebyt", lambda out, n, x: n * eval_chebyu(n - 1.0, x))
eval_chebys = _polynomial("eval_chebys", lambda out, n, x: eval_gegenbauer(n - 1.0, 2.0, 0.5 * x))
eval_chebyc = _polynomial("eval_chebyc", lambda out, n, x: n * eval_chebyu(n - 1.0, 0.5 * x))


@implements(special.eval_sh_legendre)
def eval_sh_legendre(n: Any, x: Any) -> Any:
    """That of Legendre on the interval from 0 to 1."""
    return eval_legendre(n, 2.0 * x - 1.0)


@implements(special.eval_sh_chebyt)
def eval_sh_chebyt(n: Any, x: Any) -> Any:
    """That of Chebyshev, of the first kind."""
    return eval_chebyt(n, 2.0 * x - 1.0)


@implements(special.eval_sh_chebyu)
def eval_sh_chebyu(n: Any, x: Any) -> Any:
    """That of Chebyshev, of the second kind."""
    return eval_chebyu(n, 2.0 * x - 1.0)


# In degrees -------------------------------------------------------------------------------------------------

DEGREE = math.pi / 180.0
ANGLES = np.array([10.0, -50.0, 200.0])
sindg: Op = elementwise("sindg", special.sindg, (DEGREE, lambda out, x: cosdg(x)), samples=((ANGLES,),))
cosdg: Op = elementwise("cosdg", special.cosdg, (-DEGREE, lambda out, x: sindg(x)), samples=((ANGLES,),))
tandg = elementwise("tandg", special.tandg, (DEGREE, lambda out, x: 1.0 + square(out)), samples=((ANGLES,),))
cotdg = elementwise("cotdg", special.cotdg, (-DEGREE, lambda out, x: 1.0 + square(out)), samples=((ANGLES,),))


@implements(special.radian)
def radian(d: Any, m: Any, s: Any) -> Any:
    """Degrees, minutes and seconds as radians."""
    return DEGREE * (d + m / 60.0 + s / 3600.0)
