"""`explain`: where the first NaN or infinity arises."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 0.0, -3.0, 2.0])


def test_finite_is_said_plainly():
    tape = tg.trace(lambda mu: ((X - mu) ** 2).sum(), 0.5)
    found = tape.explain(0.1)
    assert repr(found) == str(found) == "the value of f and its gradient are finite"
    assert found.quantity is None
    assert found.entry is None
    assert found.operands == ()
    assert str(tg.trace(lambda mu: X * mu, 0.5).explain(0.1)) == "the value of f is finite"


def test_the_entry_its_operands_and_its_line():
    def f(a, b):
        sigma = np.sqrt(a)
        return sigma * b

    found = tg.trace(f, dict(a=1.0, b=2.0)).explain(dict(a=-4.0, b=2.0))
    assert found.quantity == "value"
    assert found.entry.op.name == "sqrt"
    assert found.entry.source.text == "sigma = np.sqrt(a)"
    assert found.operands == (("a", -4.0),)
    first, second = str(found).splitlines()
    assert first.startswith("the value of f is nan: it arises in sqrt(a) at ")
    assert first.endswith(f"test_explain.py:{found.entry.source.line}: `sigma = np.sqrt(a)`")
    assert second == "    a = -4"


def test_the_place_in_an_array():
    tape = tg.trace(lambda mu: np.log(X - mu).sum(), -5.0)
    lines = str(tape.explain(-1.0)).splitlines()
    assert lines[0].endswith(", in 1 of 4 elements")
    assert lines[1] == "    %2[2] = -2"


def test_an_infinity_that_becomes_nan():
    def f(a):
        big = np.exp(a)
        return big * 0.0 + a

    found = tg.trace(f, 1.0).explain(1000.0)
    assert found.entry.op.name == "exp"
    lines = str(found).splitlines()
    assert lines[0].startswith("the value of f is nan: it arises in exp(a) at ")
    assert lines[1] == "    a = 1000"
    assert lines[2].startswith("it becomes NaN in mul(%1, 0) at ")
    assert lines[3] == "    %1 = inf"


def test_an_infinity_in_the_code_is_where_it_is_used():
    tape = tg.trace(lambda b: np.where(b > 0.0, np.log(b), -np.inf).sum(), np.ones(3))
    found = tape.explain([1.0, -2.0, 3.0])
    assert str(found).startswith("the value of f is -inf: it arises in where(")
    assert dict(found.operands)["-inf"] == -np.inf


@pytest.mark.parametrize(("bad", "told"), [(np.nan, "nan"), (np.inf, "inf")])
def test_parameters_and_data_are_named(bad, told):
    tape = tg.trace(lambda mu, x: (x * mu).sum(), dict(mu=1.0), data=dict(x=X))
    found = tape.explain(dict(mu=bad))
    assert f"the parameter mu is {told}" in str(found)
    assert found.entry is None
    assert found.operands == ()
    kind = "NaN" if told == "nan" else "inf"
    found = tape.with_data(x=np.array([1.0, bad, bad, 0.0])).explain(dict(mu=1.0))
    assert f"the data x holds 2 {kind}" in str(found)


def test_an_array_without_a_name_is_told_by_its_reader():
    found = tg.trace(lambda mu: mu + np.sum(mu * np.array([1.0, np.nan])), 1.0).explain(1.0)
    assert "the data const[2] holds 1 NaN, and stands in mul(mu, const[2]) at " in str(found)


def test_what_where_has_masked_out_is_not_blamed():
    def f(a):
        safe = np.where(X > 0.0, np.log(X * a), a)
        return (safe * np.sqrt(a)).sum()

    tape = tg.trace(f, 1.0)
    told = str(tape.explain(2.0))
    assert told.startswith("the value of f and its gradient are finite; a NaN in log(%")
    assert told.endswith(" does not reach them")
    assert tape.explain(np.nan).entry is None
    assert "the parameter a is nan" in str(tape.explain(np.nan))


def test_an_adjoint_that_is_infinite():
    def f(a, b):
        root = np.sqrt(a)
        return b * (root + 1.0)

    found = tg.trace(f, dict(a=1.0, b=2.0)).explain(dict(a=0.0, b=2.0))
    assert found.quantity == "adjoint"
    assert found.entry.op.name == "sqrt"
    assert dict(found.operands) == {"a": 0.0, "%2": 0.0, "the adjoint of %2": 2.0}
    lines = str(found).splitlines()
    assert lines[0].startswith(
        "the value of f is finite, but not its gradient: the first infinity arises in the adjoint of a, "
        "carried back through sqrt(a) at "
    )
    assert lines[0].endswith("`root = np.sqrt(a)`")
    assert lines[1:] == ["    a = 0", "    %2 = 0", "    the adjoint of %2 = 2"]


def test_the_first_step_of_the_sweep_that_goes_wrong_is_found_among_many():
    def f(v):
        for _ in range(20):
            v = v * 1.1
        root = np.sqrt(v * v)
        for _ in range(20):
            root = root * 1.1
        return root.sum()

    found = tg.trace(f, np.ones(3)).explain([1.0, 0.0, 2.0])
    assert found.entry.source.text == "root = np.sqrt(v * v)"
    assert found.entry.op.name == "sqrt"
    assert ", in 1 of 3 elements" in str(found)
    assert "[1] = 0" in str(found)


def test_an_infinite_adjoint_that_is_masked_out_is_not_blamed():
    tape = tg.trace(lambda a: np.where(a > 0.0, np.sqrt(a), 3.0 * a).sum(), np.ones(2))
    assert str(tape.explain([0.0, 4.0])) == "the value of f and its gradient are finite"


def test_several_outputs():
    tape = tg.trace(lambda a: (a * 2.0, [np.log(a)]), 1.0)
    found = tape.explain(-1.0)
    assert found.entry.op.name == "log"
    assert found.quantity == "value"


def test_the_warning_names_the_adjoint():
    tape = tg.trace(lambda a: np.sqrt(a) * np.sqrt(a), 1.0)
    with pytest.warns(
        tg.NonFiniteWarning, match=r"it arises in the adjoint of a, carried back through sqrt\(a\)"
    ):
        assert np.isnan(tape.grad(0.0))


# Further derivatives ----------------------------------------------------------------------------------------


def cancelling(m, s):
    power = s**1.5
    return 2.0 * power - np.sqrt(s) * s - (m - 1.0) ** 2


AT_ZERO = dict(m=0.5, s=0.0)


@pytest.mark.parametrize(
    ("what", "derivative"),
    [
        ("the Hessian of cancelling", lambda f: f.hessian(AT_ZERO)),
        ("the Hessian of cancelling", lambda f: f.hessian(AT_ZERO, sparse=True).toarray()),
        ("the Hessian times a vector of cancelling", lambda f: f.hvp(AT_ZERO, [0.0, 1.0])["s"]),
        ("the third derivative of cancelling", lambda f: f.third(AT_ZERO, [1.0, 1.0])),
        ("the Jacobian of cancelling", lambda f: f.jacobian(AT_ZERO)["s"]),
        ("the Jacobian of cancelling", lambda f: f.jacobian(AT_ZERO, sparse=True).toarray()),
        ("the derivative of cancelling", lambda f: f.jvp(AT_ZERO, [0.0, 1.0])),
        ("the derivative of cancelling", lambda f: f.vjp(AT_ZERO, 1.0)["s"]),
    ],
)
def test_a_derivative_that_is_nan_warns_with_entry_and_line(what, derivative):
    f = tg.trace(cancelling, dict(m=0.5, s=1.0))
    with pytest.warns(tg.NonFiniteWarning, match=rf"{what} is NaN: it arises in .* at .*: `") as caught:
        assert np.isnan(derivative(f)).any()
    assert "np.sqrt(s)" in str(caught[0].message) or "s**1.5" in str(caught[0].message)
    assert caught[0].filename == __file__


def smooth_but_for_zero(m, s):
    power = s**1.5
    return 2.0 * power - 3.0 * s**1.5 * np.cos(s) - (m - 1.0) ** 2


def test_a_hessian_whose_value_and_gradient_are_finite():
    f = tg.trace(smooth_but_for_zero, dict(m=0.5, s=1.0))
    assert np.isfinite(list(f.grad(AT_ZERO).values())).all()
    with pytest.warns(tg.NonFiniteWarning, match=r"the Hessian of smooth_but_for_zero is NaN: it arises in"):
        assert np.isnan(f.hessian(AT_ZERO)).any()
    found = f.explain(AT_ZERO)
    assert found.quantity == "hessian"
    assert found.entry.source.text.startswith(("power = s**1.5", "return 2.0 * power - 3.0 * s**1.5"))
    assert str(found).startswith(
        "value and gradient of smooth_but_for_zero are finite, but not its Hessian in s:"
    )
    assert np.isnan(f.hessian_flat(np.array([0.5, 0.0]))).any()
    assert np.isnan(f.hvp_flat(np.array([0.5, 0.0]), np.array([1.0, 0.0]))).any()


def test_a_fit_whose_hessian_is_not_finite_says_where():
    with pytest.warns(tg.mle.StandardErrorWarning, match="the Hessian .* is not finite in m, s") as caught:
        result = tg.fit(lambda m, s: -((m - 1.0) ** 2) - s**1.5, dict(m=0.5, s=0.0), "newton")
    assert np.isnan(result.bse).all()
    for text in (str(caught[0].message), result.message, str(result.diagnose())):
        assert "value and gradient of f are finite, but not its Hessian in s: it arises in" in text
        assert "s**1.5" in text
