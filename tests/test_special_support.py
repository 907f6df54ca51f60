"""Which functions of scipy.special can be traced: the table in docs/ is complete, and says what holds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from benchmarks.special_support import PAGE, REASONS, arguments, lines, moved, page, ufuncs
from tapegrad.ops import NUMPY
from tapegrad.special import comb, lambertw, zeta


def test_every_ufunc_has_a_rule_or_a_reason():
    reasons = [name for names in REASONS.values() for name in names]
    assert len(reasons) == len(set(reasons))
    assert {name for name, ufunc in ufuncs().items() if ufunc not in NUMPY} == set(reasons) & set(ufuncs())


def test_the_page_is_what_the_declarations_say():
    text = PAGE.read_text(encoding="utf-8")
    without_errors = [
        re.sub(r" \|[^|]*\|$", " |  |", line) for line in text.splitlines() if line.startswith("| `")
    ]
    assert without_errors == list(lines({}))
    assert text.split("## Without a rule")[1] == page({}).split("## Without a rule")[1]


# Where the functions are asked that are not defined at (2, 3, 0.4).
POINTS = {
    **dict.fromkeys(("bdtr", "bdtrc", "nbdtr", "nbdtrc"), (2, 5, 0.4)),
    "elliprj": (2, 3, 4, 0.4),
    "eval_jacobi": (2, 3, 4, 0.4),
    "hyp2f1": (2, 3, 4, 0.4),
    "ndtri_exp": (-0.4,),
    "nrdtrimn": (0.3, 2.0, 0.4),
    "nrdtrisd": (0.1, 0.3, 0.05),
    "zetac": (1.4,),
}
MOVING = [name for name, ufunc in ufuncs().items() if ufunc in NUMPY and "none" not in moved(name)]


@pytest.mark.parametrize("name", MOVING)
def test_a_supported_ufunc_traces_in_its_last_argument(name):
    ufunc = ufuncs()[name]
    *first, at = POINTS.get(name, (2, 3, 0.4)[-ufunc.nin :])

    def f(x):
        found = ufunc(*first, x)
        return sum(found[1:], start=found[0]) if ufunc.nout > 1 else found

    traced = tg.trace(f, at)
    assert traced(at) == pytest.approx(float(f(at)), rel=1e-12)
    h = 1e-5
    expected = (f(at + h) - f(at - h)) / (2 * h)
    np.testing.assert_allclose(traced.grad(at), expected, rtol=1e-4, atol=1e-7)


def test_arguments_have_the_names_of_scipy():
    assert arguments("gammainc") == ["a", "x"]
    assert arguments("betainc") == ["a", "b", "x"]


@pytest.mark.parametrize(
    ("f", "what"),
    [
        (lambda t: special.jv(t, 2.0), "jv in its order"),
        (lambda t: special.hyperu(t, 1.5, 0.3), "hyperu in a"),
        (lambda t: special.hyperu(0.5, t, 0.3), "hyperu in b"),
    ],
)
def test_a_derivative_that_is_not_known_is_an_error(f, what):
    traced = tg.trace(f, 0.7)
    assert traced(0.7) == f(0.7)
    with pytest.raises(tg.TraceError, match=what):
        traced.grad(0.7)


def test_hypergeometric_functions_whose_series_cancels_have_no_slope_in_a_parameter():
    """It is NaN, and never a wrong number; the value and the slope in the argument are there."""
    for f, at in (
        (lambda v, z: special.hyp0f1(v, z), (0.4, -400.0)),
        (lambda a, z: special.hyp1f1(a, 0.4, z), (40.0, -30.0)),
        (lambda a, z: special.hyp2f1(a, 2.0, 0.4, z), (3.0, 1.0 - 1e-9)),
    ):
        traced = tg.trace(lambda t, f=f: f(t[0], t[1]), at)
        assert traced(at) == pytest.approx(f(*at), rel=1e-12)
        with pytest.warns(tg.NonFiniteWarning):
            assert np.isnan(traced.grad(at)[0])


def test_python_functions_of_scipy_special_have_traced_twins():
    x = np.array([5.0, 2.0, 7.5])
    k = np.array([2.0, 3.0, 1.0])
    np.testing.assert_allclose(comb(x, k), special.comb(x, k), rtol=1e-14)
    np.testing.assert_allclose(tg.trace(lambda x: comb(x, k).sum(), x).grad(x), [4.5, 0.0, 1.0], rtol=1e-13)
    assert zeta(2.5, 0.7) == special.zeta(2.5, 0.7)
    assert lambertw(-0.2, -1) == special.lambertw(-0.2, -1).real
    assert tg.trace(lambda z: special.lambertw(z).real, 0.5).grad(0.5) == pytest.approx(
        0.5 / 0.5 * np.exp(-lambertw(0.5)) / (1 + lambertw(0.5))
    )
    with pytest.raises(ValueError, match="real branches"):
        lambertw(0.5, 1)


AT_INFINITY = {
    "arctan": np.arctan,
    "dawsn": special.dawsn,
    "erf": special.erf,
    "exp1": special.exp1,
    "fdtr": lambda x: special.fdtr(3.0, 4.0, x),
    "gammainc": lambda x: special.gammainc(2.0, x),
    "i0e": special.i0e,
    "k0": special.k0,
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "ndtr": special.ndtr,
    "owens_t": lambda x: special.owens_t(0.5, x),
    "stdtr": lambda x: special.stdtr(3.0, x),
    "voigt_profile": lambda x: special.voigt_profile(x, 1.0, 0.5),
}


@pytest.mark.parametrize("name", AT_INFINITY)
def test_at_infinity_gradient_and_hessian_are_their_limits(name):
    f = AT_INFINITY[name]
    traced = tg.trace(lambda x: f(x).sum(), np.array([0.5, 0.7]))
    at = np.array([np.inf, 0.7])
    assert traced.grad(at)[0] == 0.0
    np.testing.assert_array_equal(traced.hessian(at)[0], 0.0)
    assert tg.trace(f, 0.5).hessian(np.inf) == 0.0


def test_pseudo_huber_at_infinity_is_a_line():
    traced = tg.trace(lambda r: special.pseudo_huber(2.0, r), 0.5)
    assert (traced.grad(np.inf), traced.grad(-np.inf)) == (2.0, -2.0)
    assert traced.hessian(np.inf) == 0.0
