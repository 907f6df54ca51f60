"""scipy.linalg, scipy.interpolate, scipy.integrate and scipy.signal inside a traced function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, interpolate, linalg, signal
from test_scipy_stats import slopes

import tapegrad as tg

X = np.linspace(0.0, 3.0, 7)
Y = np.sin(X) + 0.5
AT = np.array([0.3, 1.1, 2.7])
A = np.array([[1.3, 0.2, 0.1], [0.1, 1.5, 0.2], [0.2, 0.1, 1.7]])
BOTH = np.stack([Y, np.cos(X)])
KNOTS = np.arange(11.0)
WITHIN = np.array([3.5, 4.2, 6.9])
SECTIONS = signal.butter(4, 0.3, output="sos")
POSITIVE = np.array([[4.0], [0.0]])


def spline(made, x=X, **options):
    return lambda y, at, **more: getattr(interpolate, made)(x, y, **options)(at, **more)


def matrix(name, *rest, **options):
    return lambda v: np.sum(getattr(linalg, name)(v, *rest, **options) * np.arange(1.0, 10.0).reshape(3, 3))


# Each function of one array: what it is, and where it is asked.
FUNCTIONS = {
    **{name: (matrix(name), A) for name in ("expm", "logm", "sqrtm", "cosm", "sinm")},
    "expm of a stack": (lambda v: linalg.expm(np.stack([v, 0.5 * v.T])).sum() ** 2, A),
    "sylvester": (lambda v: (linalg.solve_sylvester(v, v.T @ v, A) ** 2).sum(), A),
    "lyapunov": (lambda v: (linalg.solve_continuous_lyapunov(v, A) ** 2).sum(), A),
    "qr": (lambda v: (linalg.qr(v, mode="economic")[1] ** 3).sum(), A),
    "svd": (lambda v: linalg.svd(v, full_matrices=False)[1][0] + linalg.svdvals(v)[2], A),
    "lstsq": (lambda v: (linalg.lstsq(v, np.ones(3))[0] ** 2).sum(), A),
    "tridiagonal": (lambda v: linalg.eigh_tridiagonal(v[:3], v[3:5], eigvals_only=True)[0], Y),
    "toeplitz": (lambda v: (linalg.solve_toeplitz((v[:3] + 5.0, v[3:6]), np.ones(3)) ** 2).sum(), Y),
    "patterns": (lambda v: (linalg.hankel(v[:3], v[3:6]) ** 2).sum() + linalg.circulant(v)[0, 2] ** 2, Y),
    "cubic in values": (lambda v: (spline("CubicSpline")(v, AT) ** 2).sum(), Y),
    "natural": (lambda v: (spline("CubicSpline", bc_type="natural")(v, AT, nu=1) ** 2).sum(), Y),
    "clamped": (lambda v: (spline("CubicSpline", bc_type=((1, 0.3), (2, -0.1)))(v, AT) ** 2).sum(), Y),
    "periodic": (
        lambda v: (spline("CubicSpline", bc_type="periodic")(np.append(v, v[0]), AT) ** 2).sum(),
        Y[:6],
    ),
    "two splines": (
        lambda v: (spline("CubicSpline", axis=1)(np.stack([v, v**2]), AT) ** 2)[1].sum(),
        Y,
    ),
    "cubic in points": (lambda v: (spline("CubicSpline")(Y, v) ** 2).sum(), AT),
    "outside": (lambda v: (spline("CubicSpline", extrapolate=True)(Y, v) ** 2).sum(), AT + 2.0),
    "integral": (lambda v: interpolate.CubicSpline(X, v).integrate(0.2, 2.0), Y),
    "slope and area": (
        lambda v: (
            interpolate.CubicSpline(X, v).derivative()(0.7) ** 2
            + interpolate.CubicSpline(X, BOTH.T).integrate(v[0], v[1] + 1.0).sum()
        ),
        Y,
    ),
    "pchip": (lambda v: (spline("PchipInterpolator")(v, AT) ** 2).sum(), Y),
    "pchip in points": (lambda v: (spline("PchipInterpolator")(Y, v) ** 2).sum(), AT),
    "pieces": (lambda v: (interpolate.PPoly(v[:6].reshape(3, 2), X[:3])(X[:3]) ** 2).sum(), Y),
    "b-spline": (lambda v: (interpolate.BSpline(KNOTS, v, 3)(WITHIN) ** 2).sum(), Y),
    "b-spline in points": (lambda v: (interpolate.BSpline(KNOTS, Y, 3)(v, nu=1) ** 2).sum(), WITHIN),
    "both": (lambda v: (interpolate.BSpline(KNOTS, v, 3)(3.5 + v[:2] ** 2) ** 2).sum(), Y),
    "make_interp_spline": (lambda v: (spline("make_interp_spline")(v, AT) ** 2).sum(), Y),
    "of order 2": (lambda v: (spline("make_interp_spline", k=2)(v, v[:3] ** 2) ** 2).sum(), Y),
    "np.interp": (lambda v: np.interp(v[:3] + 0.1, X, v * 2.0).sum(), Y),
    "trapezoid": (lambda v: integrate.trapezoid(v**2, X) + integrate.trapezoid(v, dx=0.1), Y),
    "simpson": (lambda v: integrate.simpson(v**2, x=X) + integrate.simpson(v[:6], dx=0.3), Y),
    "cumulative": (lambda v: (integrate.cumulative_trapezoid(v, X, initial=0) ** 2).sum(), Y),
    "fixed_quad": (lambda v: integrate.fixed_quad(lambda s: np.exp(-v[0] * s), 0.0, v[2], n=6)[0], Y),
    "lfilter": (lambda v: (signal.lfilter(v[:2], [1.0, 0.5, -0.2], v) ** 2).sum(), Y),
    "lfilter of rows": (lambda v: (signal.lfilter([0.3, 0.2], [1.0, v[0]], np.stack([v, -v])) ** 2).sum(), Y),
    "lfilter that goes on": (
        lambda v: sum((z**2).sum() for z in signal.lfilter([0.3, 0.2, v[1]], [2.0, 0.5], v, zi=v[:2])),
        Y,
    ),
    "filtfilt": (lambda v: (signal.filtfilt([0.3, 0.2], [1.0, -0.5], v, padlen=3) ** 2).sum(), Y),
    "convolve": (lambda v: (signal.convolve(v, v[:3], mode="same") ** 2).sum(), Y),
    "fftconvolve": (
        lambda v: sum((signal.fftconvolve(v, v[:3], mode) ** 2).sum() for mode in ("full", "same", "valid")),
        Y,
    ),
    "akima": (lambda v: (spline("Akima1DInterpolator")(v, AT) ** 2).sum(), Y),
    "akima of rows": (
        lambda v: (spline("Akima1DInterpolator", axis=1)(np.stack([v, v**2]), AT)[1] ** 2).sum(),
        Y,
    ),
    "modified akima": (lambda v: (spline("Akima1DInterpolator", method="makima")(v, AT) ** 2).sum(), Y),
    "akima in points": (lambda v: (spline("Akima1DInterpolator")(Y, v) ** 2).sum(), AT),
    **{
        f"interp1d {kind}": (lambda v, kind=kind: (spline("interp1d", kind=kind)(v, AT) ** 2).sum(), Y)
        for kind in ("linear", "nearest", "previous", "quadratic", "cubic")
    },
    "interp1d of rows": (
        lambda v: (spline("interp1d", axis=0)(np.stack([v, v**2], axis=1), AT) ** 3).sum(),
        Y,
    ),
    "interp1d not sorted": (lambda v: (spline("interp1d", x=X[::-1])(v, AT) ** 2).sum(), Y),
    "interp1d in points": (lambda v: (spline("interp1d")(Y, v) ** 2).sum(), AT),
    "interp1d outside": (
        lambda v: (spline("interp1d", bounds_error=False, fill_value=(0.5, 2.0))(v, AT + 1.0) ** 2).sum(),
        Y,
    ),
    "interp1d beyond": (lambda v: (spline("interp1d", fill_value="extrapolate")(v, AT + 1.0) ** 2).sum(), Y),
    "splrep and splev": (lambda v: (interpolate.splev(AT, interpolate.splrep(X, v)) ** 2).sum(), Y),
    "splev's slope": (lambda v: (interpolate.splev(AT, interpolate.splrep(X, v), der=1) ** 2).sum(), Y),
    "splev in points": (lambda v: (interpolate.splev(v, interpolate.splrep(X, Y)) ** 2).sum(), AT),
    "splev, constant outside": (
        lambda v: (interpolate.splev(AT + 1.0, interpolate.splrep(X, v), ext=3) ** 2).sum(),
        Y,
    ),
    "UnivariateSpline": (lambda v: (spline("UnivariateSpline", s=0)(v, AT) ** 2).sum(), Y),
    "InterpolatedUnivariateSpline": (
        lambda v: (spline("InterpolatedUnivariateSpline", k=2)(v, AT, nu=1) ** 2).sum(),
        Y,
    ),
    "make_lsq_spline": (
        lambda v: (interpolate.make_lsq_spline(X, v, np.r_[[0.0] * 4, 1.4, [3.0] * 4])(AT) ** 2).sum(),
        Y,
    ),
    "make_smoothing_spline": (lambda v: (spline("make_smoothing_spline", lam=0.1)(v, AT) ** 2).sum(), Y),
    "sosfilt": (lambda v: (signal.sosfilt(SECTIONS, v) ** 2).sum(), Y),
    "sosfilt that goes on": (
        lambda v: sum(
            (z**2).sum() for z in signal.sosfilt(SECTIONS, v, zi=signal.sosfilt_zi(SECTIONS) * v[0])
        ),
        Y,
    ),
    "sosfiltfilt": (lambda v: (signal.sosfiltfilt(SECTIONS, v, padlen=3) ** 2).sum(), Y),
    **{
        f"savgol, {mode}": (lambda v, mode=mode: (signal.savgol_filter(v, 5, 2, mode=mode) ** 2).sum(), Y)
        for mode in ("interp", "nearest", "wrap")
    },
    "savgol's slope": (
        lambda v: (signal.savgol_filter(v, 5, 2, deriv=1, mode="constant", cval=1.0) ** 2).sum(),
        Y,
    ),
    "solve_triangular": (lambda v: (linalg.solve_triangular(v, Y[:3], lower=True) ** 3).sum(), A),
    "transposed": (lambda v: (linalg.solve_triangular(v, v, trans=1) ** 3).sum(), A),
    "unit diagonal": (lambda v: (linalg.solve_triangular(v, Y[:3], unit_diagonal=True) ** 3).sum(), A),
    "cho_solve": (lambda v: (linalg.cho_solve(linalg.cho_factor(v @ v.T), Y[:3]) ** 3).sum(), A),
    "solve_banded": (lambda v: (linalg.solve_banded((1, 1), v[[1, 0, 2]], Y[:3] * v[0, 0]) ** 3).sum(), A),
    "more bands below": (lambda v: (linalg.solve_banded((2, 0), v, v) ** 3).sum(), A),
    "solveh_banded": (lambda v: (linalg.solveh_banded(v[[2, 0]] + POSITIVE[::-1], Y[:3]) ** 3).sum(), A),
    "solveh_banded, lower": (
        lambda v: (linalg.solveh_banded(v[[0, 2]] + POSITIVE, v, lower=True) ** 3).sum(),
        A,
    ),
    "cho_solve_banded": (lambda v: (linalg.cho_solve_banded((v[[0, 2]] + POSITIVE, True), v) ** 3).sum(), A),
    "cho_solve_banded, upper": (
        lambda v: (linalg.cho_solve_banded((v[[2, 0]] + POSITIVE[::-1], False), Y[:3]) ** 3).sum(),
        A,
    ),
    "detrend": (lambda v: (signal.detrend(v**2) ** 2).sum() + signal.detrend(v, type="constant")[0], Y),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_slopes(name):
    f, at = FUNCTIONS[name]
    traced = tg.trace(f, at)
    assert traced(at) == pytest.approx(f(at), rel=1e-11)
    expected = slopes(lambda v: f(v.reshape(at.shape)), at.ravel())
    np.testing.assert_allclose(
        traced.grad(at).ravel(), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max()
    )
    moved = at * 1.01
    assert traced(moved) == pytest.approx(f(moved), rel=1e-11)


def test_smoothing_splines_with_knots_by_the_values_are_refused():
    for f in (
        lambda v: interpolate.splrep(X, v, s=0.1)[1][0],
        lambda v: interpolate.UnivariateSpline(X, v)(1.0),
    ):
        with pytest.raises(
            tg.TraceError, match=r"knots are chosen by the values .*test_more_scipy.*take s=0"
        ):
            tg.trace(f, Y)


def test_derivatives_in_bands_stay_in_the_bands():
    """The elements of SciPy's arrays that are outside of the matrix have no slope, and none is read."""
    bands = np.array([[np.nan, 0.4, -0.3], [2.0, 1.5, 1.1], [0.2, 0.6, np.nan]])
    found = tg.trace(lambda v: linalg.solve_banded((1, 1), v, Y[:3]).sum(), np.nan_to_num(bands)).grad(bands)
    dense = np.diag(bands[1]) + np.diag(bands[0, 1:], 1) + np.diag(bands[2, :-1], -1)
    back, out = np.linalg.solve(dense.T, np.ones(3)), np.linalg.solve(dense, Y[:3])
    slope = -np.outer(back, out)
    expected = [[0.0, *np.diag(slope, 1)], np.diag(slope), [*np.diag(slope, -1), 0.0]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["expm", "logm", "sqrtm"])
def test_second_derivatives_of_functions_of_matrices(name):
    at = A[:2, :2]
    traced = tg.trace(lambda v: np.sum(getattr(linalg, name)(v) * np.array([[1.0, 2.0], [3.0, 4.0]])), at)
    hessian = traced.hessian(at).reshape(4, 4)
    columns = [slopes(lambda v, i=i: traced.grad(v.reshape(2, 2)).ravel()[i], at.ravel()) for i in range(4)]
    np.testing.assert_allclose(hessian, columns, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-11, atol=1e-13)


def test_the_exponential_of_a_triangular_rate_matrix_in_closed_form():
    """Two states: the probability to stay, and its derivatives, where the rates are equal."""
    traced = tg.trace(
        lambda r: linalg.expm(np.array([[-r[0], r[0]], [0.0, -r[1]]]))[0, 1], np.array([0.7, 0.9])
    )
    at = np.array([0.8, 0.8])
    e = np.exp(-0.8)
    assert traced(at) == pytest.approx(0.8 * e, rel=1e-14)
    np.testing.assert_allclose(traced.grad(at), [e - 0.4 * e, -0.4 * e], rtol=1e-13)
    np.testing.assert_allclose(
        traced.hessian(at),
        [[-e + 0.8 * e / 3.0, -0.5 * e + 0.8 * e / 6.0 * 1.0], [-0.5 * e + 0.8 * e / 6.0, 0.8 * e / 3.0]],
        rtol=1e-12,
    )


def test_random_numbers_inside_are_an_error():
    for draw in (lambda: np.random.normal(), lambda: np.random.default_rng().normal()):  # noqa: NPY002
        with pytest.raises(tg.ReplayError, match="random numbers outside"):
            tg.trace(lambda v, draw=draw: v * draw(), 0.7)
    with pytest.raises(tg.TraceError):
        tg.trace(lambda v: np.random.default_rng(0).normal(v), 0.7)
