"""What further functions of scipy.special and of scipy.stats mean, for the comparison with mpmath.

The rows are those of `accuracy_special`, where the comparison itself stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from mpmath import mp, mpf

from benchmarks.accuracy import Worst
from benchmarks.accuracy_special import SPECIAL, WITHIN_SPECIAL, Special, grid, owens_t, rows_of_special
from tapegrad.ops import OPS


def _root(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The last argument of `f`, which is the first one of the op, as a function of its value."""

    def g(p: Any, *shapes: Any) -> Any:
        x = mpf(float(OPS[name].kernel(float(p), *map(float, shapes))))
        for _ in range(6):
            h = abs(x) * mpf(10) ** -30
            x -= (f(*shapes, x) - p) * 2 * h / (f(*shapes, x + h) - f(*shapes, x - h))
        return x

    return g


# Distributions ----------------------------------------------------------------------------------------------


def _invgauss(mu: Any, x: Any) -> Any:
    root = mp.sqrt(x)
    return mp.ncdf((x / mu - 1) / root) + mp.exp(2 / mu) * mp.ncdf(-(x / mu + 1) / root)


def _skewnorm(z: Any, a: Any) -> Any:
    return mp.ncdf(z) - 2 * owens_t(z, a)


def _vonmises(n: Any, kappa: Any, x: Any) -> Any:
    """By its Fourier series."""
    terms = (mp.besseli(j, kappa) * mp.sin(j * x) / j for j in range(1, 110))
    return mpf(1) / 2 - x / (2 * mp.pi) - mp.fsum(terms) / (mp.pi * mp.besseli(0, kappa))


def _mixture(a: Any, s: Any, x: Any, y: Any, upper: bool) -> Any:
    total = mp.fsum(
        mp.exp(-y) * y**j / mp.factorial(j) * mp.gammainc(a + s * j, 0, x, regularized=True)
        for j in range(45)
    )
    return 1 - total if upper else total


def _kolmogorov(x: Any) -> Any:
    return 2 * mp.fsum((-1) ** (k - 1) * mp.exp(-2 * k * k * x * x) for k in range(1, 60))


MIXED = ((0.7, 1.0, 0.6, 1.5), (2.5, 1.3, 5.0, 3.0), (4.0, 0.8, 9.0, 0.2))
MORE: Final[dict[str, Special]] = {
    "cosine_cdf": Special(lambda x: (mp.pi + x + mp.sin(x)) / (2 * mp.pi), grid((-3.1, -0.4, 1.3, 3.0))),
    "invgauss_ppf": Special(_root("invgauss_ppf", _invgauss), grid((1e-6, 0.3, 0.9), (0.2, 1.0, 8.0))),
    "invgauss_isf": Special(
        _root("invgauss_isf", lambda mu, x: 1 - _invgauss(mu, x)), grid((1e-6, 0.3, 0.9), (0.2, 1.0, 8.0))
    ),
    "kolmogi": Special(_root("kolmogi", _kolmogorov), grid((1e-9, 0.3, 0.9))),
    "kolmogorov": Special(_kolmogorov, grid((0.3, 0.6, 0.81, 0.83, 1.5, 4.0))),
    "kolmogorov_cdf": Special(lambda x: 1 - _kolmogorov(x), grid((0.3, 0.6, 0.81, 0.83, 1.5))),
    "kolmogorov_quantile": Special(
        _root("kolmogorov_quantile", lambda x: 1 - _kolmogorov(x)), grid((1e-4, 0.3, 0.9))
    ),
    "log1mexp": Special(lambda x: mp.log(-mp.expm1(x)), grid((-1e-9, -0.3, -0.8, -5.0, -300.0)), digits=300),
    "noncentral_gammainc": Special(
        lambda n, a, x, y: _mixture(a, 1, x, y, False),
        grid((0.0,), (0.5, 4.0), (0.6, 9.0), (0.2, 6.0)),
        shapes=(1,),
        fixed=(0,),
    ),
    "noncentral_gammaincc": Special(
        lambda a, x, y: _mixture(a, 1, x, y, True), grid((0.5, 4.0), (0.6, 9.0), (0.2, 6.0)), shapes=(0,)
    ),
    "poisson_gammainc": Special(
        lambda n, r, c, a, s, x, y: _mixture(a, s, x, y, False),
        tuple((0.0, 0.0, 0.0, *point) for point in MIXED),
        shapes=(3, 4),
        fixed=(0, 1, 2),
    ),
    "poisson_gammaincc": Special(
        lambda c, a, s, x, y: _mixture(a, s, x, y, True),
        tuple((0.0, *point) for point in MIXED),
        shapes=(1, 2),
        fixed=(0,),
    ),
    "skewnorm_cdf": Special(_skewnorm, ((-3.0, 2.0), (-0.2, 5.0), (0.4, 1.0), (1.0, -2.0)), digits=70),
    "vonmises_tail": Special(
        _vonmises, ((0.0, 2.0, 0.3), (0.0, 30.0, 0.2), (0.0, 0.1, 2.5), (0.0, 5.0, 1.4)), (1,), (0,), 70
    ),
}

# Quantiles --------------------------------------------------------------------------------------------------


def _upper_of(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: 1 - f(*arguments)


def _gammainc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def _odds(a: Any, b: Any, x: Any) -> Any:
    return mp.betainc(a, b, 0, x / (1 + x), regularized=True)


def _student(df: Any, t: Any) -> Any:
    tail = mp.re(mp.betainc(df / 2, mpf(1) / 2, 0, df / (df + t * t), regularized=True)) / 2
    return tail if t < 0 else 1 - tail


def _exponnorm(k: Any, z: Any) -> Any:
    return mp.ncdf(z) - mp.exp(1 / (2 * k * k) - z / k) * mp.ncdf(z - 1 / k)


def _erfcx_gap(n: Any, x: Any, step: Any) -> Any:
    return mp.exp(x * x) * mp.erfc(x) - mp.exp((x + step) ** 2) * mp.erfc(x + step)


SOME_LEVELS = (1e-6, 0.3, 0.9)
OF_SHAPE = grid(SOME_LEVELS, (0.4, 5.0))
OF_SHAPES = ((1e-4, 0.5, 20.0), (0.6, 3.0, 0.8), (0.6, 0.5, 2.0))
MORE.update(
    {
        "erfcx_gap": Special(
            _erfcx_gap, grid((0.0,), (-2.0, 0.3, 30.0), (1e-6, 0.4, 50.0)), fixed=(0,), digits=120
        ),
        "exponnorm_ppf": Special(_root("exponnorm_ppf", _exponnorm), OF_SHAPE, (1,)),
        "exponnorm_isf": Special(_root("exponnorm_isf", _upper_of(_exponnorm)), OF_SHAPE, (1,)),
        "gamma_ppf": Special(_root("gamma_ppf", _gammainc), OF_SHAPE, (1,)),
        "gamma_isf": Special(_root("gamma_isf", _upper_of(_gammainc)), OF_SHAPE, (1,)),
        "odds_ppf": Special(_root("odds_ppf", _odds), OF_SHAPES, (1, 2)),
        "odds_isf": Special(_root("odds_isf", _upper_of(_odds)), OF_SHAPES, (1, 2)),
        "t_ppf": Special(_root("t_ppf", _student), grid((1e-6, 0.3, 0.9), (0.7, 6.0)), (1,)),
        "wald_ppf": Special(_root("wald_ppf", _invgauss), OF_SHAPE, (1,)),
        "wald_isf": Special(_root("wald_isf", _upper_of(_invgauss)), OF_SHAPE, (1,)),
    }
)

# Elliptic integrals -----------------------------------------------------------------------------------------


def _amplitude(u: Any, m: Any) -> Any:
    return mp.findroot(
        lambda phi: mp.ellipf(phi, m) - u, float(OPS["jacobi_amplitude"].kernel(float(u), float(m)))
    )


PARTS = grid((1e-5, 0.4, 3.0), (0.2, 1.0), (0.7, 50.0))
MORE.update(
    {
        "agm": Special(mp.agm, grid((1e-5, 0.5, 2.0), (0.3, 40.0))),
        "ellipe": Special(mp.ellipe, grid((-30.0, -0.4, 1e-9, 0.5, 0.999))),
        "ellipeinc": Special(mp.ellipe, grid((-1.2, 0.3, 1.5, 4.0), (-1.5, 1e-5, 0.9))),
        "ellipk": Special(mp.ellipk, grid((-30.0, -0.4, 1e-9, 0.5, 0.999))),
        "ellipkinc": Special(mp.ellipf, grid((-1.2, 0.3, 1.5, 4.0), (-1.5, 1e-5, 0.9))),
        "ellipkm1": Special(lambda p: mp.ellipk(1 - p), grid((1e-9, 0.5, 3.0))),
        "elliprc": Special(mp.elliprc, grid((1e-5, 0.4, 3.0), (0.2, 1.0))),
        "elliprd": Special(mp.elliprd, PARTS),
        "elliprf": Special(mp.elliprf, PARTS),
        "elliprg": Special(mp.elliprg, PARTS),
        "elliprj": Special(mp.elliprj, tuple((*p, 0.9) for p in PARTS[::3])),
        "jacobi_amplitude": Special(_amplitude, grid((-1.2, 0.3, 0.9), (0.2, 0.8))),
    }
)

# Solutions of differential equations ------------------------------------------------------------------------


def _kelvin(first: Callable[..., Any], second: Callable[..., Any], sign: int) -> Callable[..., Any]:
    """The derivative of a function of Kelvin by those of the order 1."""
    return lambda x: (first(1, x) + sign * second(1, x)) / mp.sqrt(2)


def _spherical(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda n, x: mp.sqrt(mp.pi / (2 * x)) * f(n + mpf(1) / 2, x)


LOOSE = {0: 1e-10, 1: 1e-10}
SOME = grid((0.3, 1.9, 6.0))
WITH_ORDERS = grid((0, 1, 4), (0.3, 1.9, 9.0))
MORE.update(
    {
        "airy_ai": Special(mp.airyai, grid((-4.0, 0.3, 6.0))),
        "airy_aip": Special(lambda x: mp.airyai(x, derivative=1), grid((-4.0, 0.3, 6.0))),
        "airy_bi": Special(mp.airybi, grid((-4.0, 0.3, 6.0))),
        "airy_bip": Special(lambda x: mp.airybi(x, derivative=1), grid((-4.0, 0.3, 6.0))),
        "bei": Special(lambda x: mp.bei(0, x), SOME),
        "beip": Special(_kelvin(mp.bei, mp.ber, -1), SOME),
        "ber": Special(lambda x: mp.ber(0, x), SOME),
        "berp": Special(_kelvin(mp.ber, mp.bei, 1), SOME),
        "kei": Special(lambda x: mp.kei(0, x), SOME, bounds=LOOSE, why="SciPy's kei"),
        "keip": Special(_kelvin(mp.kei, mp.ker, -1), SOME, bounds=LOOSE, why="SciPy's kei and ker"),
        "ker": Special(lambda x: mp.ker(0, x), SOME, bounds=LOOSE, why="SciPy's ker"),
        "kerp": Special(_kelvin(mp.ker, mp.kei, 1), SOME),
        "cosh_integral": Special(mp.chi, SOME),
        "cosine_integral": Special(mp.ci, SOME),
        "fresnel_c": Special(mp.fresnelc, SOME),
        "fresnel_s": Special(mp.fresnels, SOME),
        "sine_integral": Special(mp.si, SOME),
        "sinh_integral": Special(mp.shi, SOME),
        "modstruve": Special(mp.struvel, grid((0.0, 2.0), (0.3, 1.9, 6.0)), fixed=(0,)),
        "struve": Special(mp.struveh, grid((0.0, 2.0), (0.3, 1.9, 6.0)), fixed=(0,)),
        "spherical_in": Special(_spherical(mp.besseli), WITH_ORDERS, fixed=(0,)),
        "spherical_jn": Special(_spherical(mp.besselj), WITH_ORDERS, fixed=(0,)),
        "spherical_kn": Special(_spherical(mp.besselk), WITH_ORDERS, fixed=(0,)),
        "spherical_yn": Special(_spherical(mp.bessely), WITH_ORDERS, fixed=(0,)),
    }
)

# Polynomials, and degrees -----------------------------------------------------------------------------------

DEGREES, INSIDE = (0, 1, 5), (-0.6, 0.2, 0.9)
PLAIN = grid(DEGREES, INSIDE)
MORE.update(
    {
        "eval_chebyc": Special(lambda n, x: 2 * mp.chebyt(n, x / 2), PLAIN, fixed=(0,)),
        "eval_chebys": Special(lambda n, x: mp.chebyu(n, x / 2), PLAIN, fixed=(0,)),
        "eval_chebyt": Special(mp.chebyt, PLAIN, fixed=(0,)),
        "eval_chebyu": Special(mp.chebyu, PLAIN, fixed=(0,)),
        "eval_gegenbauer": Special(mp.gegenbauer, grid(DEGREES, (0.7, 2.0), INSIDE), fixed=(0, 1)),
        "eval_genlaguerre": Special(mp.laguerre, grid(DEGREES, (0.7, 2.0), (0.3, 4.0)), fixed=(0, 1)),
        "eval_hermite": Special(mp.hermite, PLAIN, fixed=(0,)),
        "eval_hermitenorm": Special(
            lambda n, x: mp.hermite(n, x / mp.sqrt(2)) / mp.sqrt(2) ** n, PLAIN, fixed=(0,)
        ),
        "eval_jacobi": Special(mp.jacobi, grid(DEGREES, (0.7,), (2.0,), INSIDE), fixed=(0, 1, 2)),
        "eval_laguerre": Special(lambda n, x: mp.laguerre(n, 0, x), grid(DEGREES, (0.3, 4.0)), fixed=(0,)),
        "eval_legendre": Special(mp.legendre, PLAIN, fixed=(0,)),
        "cosdg": Special(lambda x: mp.cos(x * mp.pi / 180), grid((10.0, -50.0, 200.0))),
        "cotdg": Special(lambda x: mp.cot(x * mp.pi / 180), grid((10.0, -50.0, 200.0))),
        "sindg": Special(lambda x: mp.sin(x * mp.pi / 180), grid((10.0, -50.0, 200.0))),
        "tandg": Special(lambda x: mp.tan(x * mp.pi / 180), grid((10.0, -50.0, 200.0))),
    }
)

ALL_SPECIAL: Final[dict[str, Special]] = {**SPECIAL, **MORE}
WITHIN_ALL: Final = {
    **WITHIN_SPECIAL,
    "carlson": "elliprj",
    "kolmogorov_slope": "kolmogorov",
    "omega_rest": "wrightomega",
    "omega_share": "wrightomega",
    "poisson_density": "poisson_gammainc",
    "vonmises_density": "vonmises_tail",
}


def special_functions(share: int = 1) -> Iterator[Worst]:
    """All rows of both tables."""
    for name, reference in ALL_SPECIAL.items():
        yield from rows_of_special(name, reference, share)
