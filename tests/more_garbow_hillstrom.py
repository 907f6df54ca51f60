"""Test problems for optimisers, numbered as in the article they are from.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions
on Mathematical Software 7 (1981), 17-41.

Each is a sum of squares and stands here twice: its residuals in plain NumPy, as a user would write them, and
again number by number in mpmath. `minimum` is the least sum of squares that the article gives for it, or of
several the one that the method of Levenberg and Marquardt finds from `start`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf


class Problem(NamedTuple):
    name: str
    residuals: Callable[[Any], Any]
    exactly: Callable[..., list[Any]]
    start: tuple[float, ...]
    minimum: float


PROBLEMS: list[Problem] = []


def problem(
    name: str, start: Any, minimum: float, exactly: Callable[..., list[Any]]
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def enter(residuals: Callable[[Any], Any]) -> Callable[[Any], Any]:
        PROBLEMS.append(Problem(name, residuals, exactly, tuple(map(float, start)), minimum))
        return residuals

    return enter


# 1 ----------------------------------------------------------------------------------------------------------


def _rosenbrock(a: Any, b: Any) -> list[Any]:
    return [10 * (b - a**2), 1 - a]


@problem("Rosenbrock", (-1.2, 1.0), 0.0, _rosenbrock)
def rosenbrock(x: Any) -> Any:
    return np.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


# 2 ----------------------------------------------------------------------------------------------------------


def _freudenstein_roth(a: Any, b: Any) -> list[Any]:
    return [-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b]


@problem("Freudenstein and Roth", (0.5, -2.0), 48.9842, _freudenstein_roth)
def freudenstein_roth(x: Any) -> Any:
    a, b = x
    return np.array([-13.0 + a + 5.0 * b**2 - b**3 - 2.0 * b, -29.0 + a + b**3 + b**2 - 14.0 * b])


# 3 ----------------------------------------------------------------------------------------------------------


def _powell_badly_scaled(a: Any, b: Any) -> list[Any]:
    return [10**4 * a * b - 1, mp.exp(-a) + mp.exp(-b) - mpf("1.0001")]


@problem("Powell badly scaled", (0.0, 1.0), 0.0, _powell_badly_scaled)
def powell_badly_scaled(x: Any) -> Any:
    return np.stack([1e4 * np.prod(x) - 1.0, np.exp(-x).sum() - 1.0001])


# 4 ----------------------------------------------------------------------------------------------------------


def _brown_badly_scaled(a: Any, b: Any) -> list[Any]:
    return [a - 10**6, b - mpf("2e-6"), a * b - 2]


@problem("Brown badly scaled", (1.0, 1.0), 0.0, _brown_badly_scaled)
def brown_badly_scaled(x: Any) -> Any:
    return np.append(x - np.array([1e6, 2e-6]), x[0] * x[1] - 2.0)


# 5 ----------------------------------------------------------------------------------------------------------


def _beale(a: Any, b: Any) -> list[Any]:
    return [y - a * (1 - b ** (i + 1)) for i, y in enumerate((mpf("1.5"), mpf("2.25"), mpf("2.625")))]


@problem("Beale", (1.0, 1.0), 0.0, _beale)
def beale(x: Any) -> Any:
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** np.arange(1.0, 4.0))


# 6 ----------------------------------------------------------------------------------------------------------


def _jennrich_sampson(a: Any, b: Any) -> list[Any]:
    return [2 + 2 * i - (mp.exp(i * a) + mp.exp(i * b)) for i in range(1, 11)]


@problem("Jennrich and Sampson", (0.3, 0.4), 124.362, _jennrich_sampson)
def jennrich_sampson(x: Any) -> Any:
    i = np.arange(1.0, 11.0)
    return 2.0 + 2.0 * i - np.exp(np.multiply.outer(i, x)).sum(axis=1)


# 7 ----------------------------------------------------------------------------------------------------------


def _helical_valley(a: Any, b: Any, c: Any) -> list[Any]:
    angle = mp.atan(b / a) / (2 * mp.pi) + (0 if a > 0 else mpf(1) / 2)
    return [10 * (c - 10 * angle), 10 * (mp.hypot(a, b) - 1), c]


@problem("Helical valley", (-1.0, 0.0, 0.0), 0.0, _helical_valley)
def helical_valley(x: Any) -> Any:
    angle = np.arctan(x[1] / x[0]) / (2.0 * np.pi)
    if x[0] < 0.0:
        angle = angle + 0.5
    return np.array([10.0 * (x[2] - 10.0 * angle), 10.0 * (np.linalg.norm(x[:2]) - 1.0), x[2]])


# 8 ----------------------------------------------------------------------------------------------------------

BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)


def _bard(a: Any, b: Any, c: Any) -> list[Any]:
    return [
        mpf(y) - (a + i / ((16 - i) * b + min(i, 16 - i) * c))
        for i, y in zip(range(1, 16), BARD, strict=True)
    ]


@problem("Bard", (1.0, 1.0, 1.0), 8.21487e-3, _bard)
def bard(x: Any) -> Any:
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return np.array(BARD) - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


# 9 ----------------------------------------------------------------------------------------------------------

GAUSSIAN = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989)
GAUSSIAN += GAUSSIAN[-2::-1]


def _gaussian(a: Any, b: Any, c: Any) -> list[Any]:
    return [
        a * mp.exp(-b * (mpf(8 - i) / 2 - c) ** 2 / 2) - mpf(y)
        for i, y in zip(range(1, 16), GAUSSIAN, strict=True)
    ]


@problem("Gaussian", (0.4, 1.0, 0.0), 1.12793e-8, _gaussian)
def gaussian(x: Any) -> Any:
    t = (8.0 - np.arange(1.0, 16.0)) / 2.0
    return x[0] * np.exp(-0.5 * x[1] * (t - x[2]) ** 2) - np.array(GAUSSIAN)


# 10 ---------------------------------------------------------------------------------------------------------

MEYER = (
    34780,
    28610,
    23650,
    19630,
    16370,
    13720,
    11540,
    9744,
    8261,
    7030,
    6005,
    5147,
    4427,
    3820,
    3307,
    2872,
)


def _meyer(a: Any, b: Any, c: Any) -> list[Any]:
    return [a * mp.exp(b / (45 + 5 * i + c)) - y for i, y in zip(range(1, 17), MEYER, strict=True)]


@problem("Meyer", (0.02, 4000.0, 250.0), 87.9458, _meyer)
def meyer(x: Any) -> Any:
    t = 45.0 + 5.0 * np.arange(1.0, 17.0)
    return x[0] * np.exp(x[1] / (t + x[2])) - np.array(MEYER)


# 11 ---------------------------------------------------------------------------------------------------------
# With |y - x2| where the article has a misprint.

GULF_T = np.arange(1, 100) / 100.0
GULF_Y = 25.0 + (-50.0 * np.log(GULF_T)) ** (2.0 / 3.0)


def _gulf(a: Any, b: Any, c: Any) -> list[Any]:
    return [mp.exp(-(abs(mpf(y) - b) ** c) / a) - mpf(t) for t, y in zip(GULF_T, GULF_Y, strict=True)]


@problem("Gulf research and development", (5.0, 2.5, 0.15), 0.0, _gulf)
def gulf(x: Any) -> Any:
    return np.exp(-(np.abs(GULF_Y - x[1]) ** x[2]) / x[0]) - GULF_T


# 12 ---------------------------------------------------------------------------------------------------------


def _box(a: Any, b: Any, c: Any) -> list[Any]:
    ts = [mpf(i) / 10 for i in range(1, 11)]
    return [mp.exp(-t * a) - mp.exp(-t * b) - c * (mp.exp(-t) - mp.exp(-10 * t)) for t in ts]


@problem("Box three-dimensional", (0.0, 10.0, 20.0), 0.0, _box)
def box(x: Any) -> Any:
    t = np.arange(1, 11) / 10.0
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10.0 * t))


# 13 ---------------------------------------------------------------------------------------------------------


def _powell_singular(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    return [a + 10 * b, mp.sqrt(5) * (c - d), (b - 2 * c) ** 2, mp.sqrt(10) * (a - d) ** 2]


@problem("Powell singular", (3.0, -1.0, 0.0, 1.0), 0.0, _powell_singular)
def powell_singular(x: Any) -> Any:
    a, b, c, d = x
    return np.stack([a + 10.0 * b, np.sqrt(5.0) * (c - d), (b - 2.0 * c) ** 2, np.sqrt(10.0) * (a - d) ** 2])


# 14 ---------------------------------------------------------------------------------------------------------


def _wood(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    tenth = mp.sqrt(10)
    return [
        10 * (b - a**2),
        mp.sqrt(90) * (d - c**2),
        1 - a,
        1 - c,
        tenth * (b + d - 2),
        (b - d) / tenth,
    ]


@problem("Wood", (-3.0, -1.0, -3.0, -1.0), 0.0, _wood)
def wood(x: Any) -> Any:
    odd, even = x[::2], x[1::2]
    curved = np.sqrt([100.0, 90.0]) * (even - odd**2)
    last = [np.sqrt(10.0) * (even.sum() - 2.0), (x[1] - x[3]) / np.sqrt(10.0)]
    return np.concatenate([curved, 1.0 - odd, last])


# 15 ---------------------------------------------------------------------------------------------------------

KOWALIK_Y = (0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246)
KOWALIK_U = (4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)


def _kowalik_osborne(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    pairs = zip(map(mpf, KOWALIK_U), map(mpf, KOWALIK_Y), strict=True)
    return [y - a * (u**2 + u * b) / (u**2 + u * c + d) for u, y in pairs]


@problem("Kowalik and Osborne", (0.25, 0.39, 0.415, 0.39), 3.07505e-4, _kowalik_osborne)
def kowalik_osborne(x: Any) -> Any:
    u = np.array(KOWALIK_U)
    return np.array(KOWALIK_Y) - x[0] * np.polyval([1.0, x[1], 0.0], u) / np.polyval([1.0, x[2], x[3]], u)


# 16 ---------------------------------------------------------------------------------------------------------


def _brown_dennis(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    ts = [mpf(i) / 5 for i in range(1, 21)]
    return [(a + t * b - mp.exp(t)) ** 2 + (c + d * mp.sin(t) - mp.cos(t)) ** 2 for t in ts]


@problem("Brown and Dennis", (25.0, 5.0, -5.0, -1.0), 85822.2, _brown_dennis)
def brown_dennis(x: Any) -> Any:
    t = np.arange(1, 21) / 5.0
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


# 17 ---------------------------------------------------------------------------------------------------------

OSBORNE = (
    *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751),
    *(0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490),
    *(0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406),
)


def _osborne(a: Any, b: Any, c: Any, d: Any, e: Any) -> list[Any]:
    return [mpf(y) - (a + b * mp.exp(-10 * i * d) + c * mp.exp(-10 * i * e)) for i, y in enumerate(OSBORNE)]


@problem("Osborne 1", (0.5, 1.5, -1.0, 0.01, 0.02), 5.46489e-5, _osborne)
def osborne(x: Any) -> Any:
    t = 10.0 * np.arange(33.0)
    return np.array(OSBORNE) - x[0] - np.exp(-np.outer(t, x[3:])) @ x[1:3]


# 18 ---------------------------------------------------------------------------------------------------------


def _biggs(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> list[Any]:
    ts = [mpf(i) / 10 for i in range(1, 14)]
    ys = [mp.exp(-t) - 5 * mp.exp(-10 * t) + 3 * mp.exp(-4 * t) for t in ts]
    sums = [c * mp.exp(-t * a) - d * mp.exp(-t * b) + f * mp.exp(-t * e) for t in ts]
    return [s - y for s, y in zip(sums, ys, strict=True)]


@problem("Biggs EXP6", (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), 0.0, _biggs)
def biggs(x: Any) -> Any:
    t = np.arange(1, 14) / 10.0
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    decays = np.exp(-np.outer(t, x[np.array([0, 1, 4])]))
    return (decays * np.array([1.0, -1.0, 1.0]) * x[[2, 3, 5]]).sum(axis=1) - y


# 20 ---------------------------------------------------------------------------------------------------------


def _watson(*x: Any) -> list[Any]:
    found = []
    for i in range(1, 30):
        t = mpf(i) / 29
        slope = sum(j * x[j] * t ** (j - 1) for j in range(1, len(x)))
        found.append(slope - sum(x[j] * t**j for j in range(len(x))) ** 2 - 1)
    return [*found, x[0], x[1] - x[0] ** 2 - 1]


@problem("Watson", (0.0,) * 6, 2.28767e-3, _watson)
def watson(x: Any) -> Any:
    powers = np.vander(np.arange(1, 30) / 29.0, 6, increasing=True)
    slopes = powers[:, :-1] @ (np.arange(1.0, 6.0) * x[1:])
    return np.hstack([slopes - (powers @ x) ** 2 - 1.0, x[0], x[1] - x[0] ** 2 - 1.0])


# 23 ---------------------------------------------------------------------------------------------------------


def _penalty(*x: Any) -> list[Any]:
    return [*(mp.sqrt(mpf(10) ** -5) * (xi - 1) for xi in x), sum(xi**2 for xi in x) - mpf(1) / 4]


@problem("Penalty function I", (1.0, 2.0, 3.0, 4.0), 2.24997e-5, _penalty)
def penalty(x: Any) -> Any:
    return np.append(np.sqrt(1e-5) * (x - 1.0), x @ x - 0.25)


# 25 ---------------------------------------------------------------------------------------------------------


def _variably_dimensioned(*x: Any) -> list[Any]:
    total = sum(j * (xj - 1) for j, xj in enumerate(x, 1))
    return [*(xj - 1 for xj in x), total, total**2]


@problem("Variably dimensioned", 1.0 - np.arange(1, 7) / 6.0, 0.0, _variably_dimensioned)
def variably_dimensioned(x: Any) -> Any:
    total = np.arange(1.0, 7.0) @ (x - 1.0)
    return np.r_[x - 1.0, total, total**2]


# 26 ---------------------------------------------------------------------------------------------------------


def _trigonometric(*x: Any) -> list[Any]:
    rest = len(x) - sum(map(mp.cos, x))
    return [rest + i * (1 - mp.cos(xi)) - mp.sin(xi) for i, xi in enumerate(x, 1)]


@problem("Trigonometric", (0.2,) * 5, 0.0, _trigonometric)
def trigonometric(x: Any) -> Any:
    n = len(x)
    return n - np.cos(x).sum() + np.arange(1, n + 1) * (1.0 - np.cos(x)) - np.sin(x)


# 28 ---------------------------------------------------------------------------------------------------------


def _boundary_value(*x: Any) -> list[Any]:
    h = mpf(1) / (len(x) + 1)
    padded = [mpf(0), *x, mpf(0)]
    return [
        2 * padded[i] - padded[i - 1] - padded[i + 1] + h**2 * (padded[i] + i * h + 1) ** 3 / 2
        for i in range(1, len(x) + 1)
    ]


NODES = np.arange(1, 7) / 7.0


@problem("Discrete boundary value", NODES * (NODES - 1.0), 0.0, _boundary_value)
def boundary_value(x: Any) -> Any:
    second = 2.0 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)
    return second @ x + (x + NODES + 1.0) ** 3 / (2.0 * 49.0)


# 30 ---------------------------------------------------------------------------------------------------------


def _broyden_tridiagonal(*x: Any) -> list[Any]:
    padded = [mpf(0), *x, mpf(0)]
    return [
        (3 - 2 * padded[i]) * padded[i] - padded[i - 1] - 2 * padded[i + 1] + 1 for i in range(1, len(x) + 1)
    ]


@problem("Broyden tridiagonal", (-1.0,) * 6, 0.0, _broyden_tridiagonal)
def broyden_tridiagonal(x: Any) -> Any:
    padded = np.pad(x, 1)
    return (3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0
