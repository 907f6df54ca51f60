"""A traced function is called as what was traced, in one piece or in several."""

import inspect
from typing import Annotated

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

import tapegrad as tg

X = np.array([4.2, 5.9, 3.1, 6.4, 5.0, 7.3, 4.8, 5.5, 2.7, 6.1])
N, MEAN, SD = X.size, X.mean(), X.std()


def nll(mu, ls):
    z = (X - mu) / np.exp(ls)
    return (0.5 * z**2 + ls).sum()


def slopes(mu, ls):
    """Those of `nll`, by hand."""
    z = (X - mu) / np.exp(ls)
    return -z.sum() / np.exp(ls), N - (z**2).sum()


@pytest.fixture(params=[dict(mu=0.0, ls=0.0), dict(ls=0.0, mu=0.0)], ids=["in order", "out of order"])
def tape(request):
    return tg.trace(nll, request.param)


def test_it_has_the_signature_of_what_was_traced(tape):
    assert list(inspect.signature(tape).parameters) == ["mu", "ls"]
    assert list(inspect.signature(tg.trace(lambda v: v @ v, np.ones(2))).parameters) == ["v"]
    assert list(inspect.signature(tg.TracedFunction).parameters) == ["structure", "router", "calling"]


def test_data_defaults_and_annotations_in_the_signature():
    def f(y, mu: Annotated[float, "above 0"] = 3.0, *, ls=1.0):
        return nll(mu, ls) + y.sum()

    traced = tg.trace(f, dict(ls=0.0, mu=1.0), data=dict(y=X))
    parameters = inspect.signature(traced).parameters
    assert list(parameters) == ["mu", "ls"]
    assert parameters["mu"].annotation == inspect.signature(f).parameters["mu"].annotation
    assert all(parameter.default is inspect.Parameter.empty for parameter in parameters.values())
    assert traced(5.0, 0.1) == pytest.approx(nll(5.0, 0.1) + X.sum(), rel=1e-14)
    twin = traced.with_data(y=2.0 * X)
    assert twin(5.0, 0.1) == pytest.approx(nll(5.0, 0.1) + 2.0 * X.sum(), rel=1e-14)
    assert inspect.signature(twin) == inspect.signature(traced)


def test_all_forms_of_a_call_agree(tape):
    value = pytest.approx(nll(5.0, 0.1), rel=1e-14)
    flat = [dict(mu=5.0, ls=0.1)[name] for name in tape.names]
    assert tape(5.0, 0.1) == value
    assert tape(5, ls=0.1) == value
    assert tape(mu=5.0, ls=0.1) == value
    assert tape(ls=0.1, mu=5.0) == value
    assert tape(dict(mu=5.0, ls=0.1)) == value
    assert tape(np.array(flat)) == value
    assert tape(flat) == value


def test_derivatives_come_in_the_form_of_the_call(tape):
    expected = slopes(5.0, 0.1)
    given = tape.grad(5.0, 0.1)
    assert isinstance(given, tuple)
    np.testing.assert_allclose(given, expected, rtol=1e-13)
    for gradient in (tape.grad(mu=5.0, ls=0.1), tape.grad(dict(mu=5.0, ls=0.1))):
        assert gradient == dict(mu=pytest.approx(expected[0]), ls=pytest.approx(expected[1]))
    value, gradient = tape.value_and_grad(5.0, 0.1)
    assert value == tape(5.0, 0.1)
    assert gradient == given
    z = (X - 5.0) / np.exp(0.1)
    mixed = 2.0 * z.sum() / np.exp(0.1)
    hessian = np.array([[N / np.exp(0.2), mixed], [mixed, 2.0 * (z**2).sum()]])
    np.testing.assert_allclose(tape.hessian(5.0, 0.1), hessian, rtol=1e-13)
    np.testing.assert_allclose(tape.hessian(5.0, 0.1, sparse=True).toarray(), hessian, rtol=1e-13)
    in_order = [("mu", "ls").index(name) for name in tape.names]
    np.testing.assert_allclose(tape.hessian(mu=5.0, ls=0.1), hessian[np.ix_(in_order, in_order)], rtol=1e-13)


def test_arrays_and_nests_by_position():
    def f(b, s, more):
        return (b * b).sum() * s + more["c"] * (more["d"][1] - more["d"][0])

    tape = tg.trace(f, dict(s=1.0, more=dict(c=1.0, d=[1.0, 2.0]), b=np.ones(2)))
    b, more = np.array([1.0, 2.0]), dict(c=3.0, d=[4.0, 5.0])
    assert tape(b, 2.0, more) == 13.0
    slope = tape.grad(b, 2.0, more)
    np.testing.assert_array_equal(slope[0], [4.0, 8.0])
    assert slope[1:] == (5.0, dict(c=1.0, d=[-3.0, 3.0]))
    np.testing.assert_array_equal(np.diag(tape.hessian(b, 2.0, more))[:2], [4.0, 4.0])


def test_one_parameter_by_itself():
    tape = tg.trace(lambda mu: ((X - mu) ** 2).sum(), dict(mu=0.0))
    assert tape(5.0) == tape(dict(mu=5.0)) == tape([5.0]) == tape(mu=5.0)
    assert tape(5.0) == pytest.approx(((X - 5.0) ** 2).sum(), rel=1e-14)
    assert tape.grad(5.0) == tape.grad(np.float64(5.0)) == (pytest.approx(-2.0 * (X - 5.0).sum()),)
    assert tape.grad([5.0]) == dict(mu=pytest.approx(-2.0 * (X - 5.0).sum()))
    assert tape.hessian(5.0).tolist() == [[20.0]]
    number = tg.trace(lambda mu: ((X - mu) ** 2).sum(), 0.0)
    assert number(5.0) == number(mu=5.0) == tape(5.0)
    assert isinstance(number.grad(5.0), float)


def test_traced_arguments_in_every_form(tape):
    outer = tg.trace(
        lambda a: tape(a[0], a[1]) + tape(ls=a[1], mu=a[0]) + tape.grad(a[0], a[1])[0], np.ones(2)
    )
    at = np.array([5.0, 0.1])
    assert outer(at) == pytest.approx(2.0 * nll(*at) + slopes(*at)[0], rel=1e-13)


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((1.0, 2.0, 3.0), {}, "nll takes mu, ls, or all of them in one; 3 are given"),
        ((), {}, "nll takes mu, ls, or all of them in one; 0 are given"),
        ((), dict(mu=1.0), "nll takes mu, ls: ls is missing"),
        ((), dict(mu=1.0, ls=2.0, x=3.0), "nll takes mu, ls: x is unknown"),
        ((1.0,), dict(mu=2.0), "nll takes mu, ls: mu is given twice; ls is missing"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "grad", "value_and_grad", "hessian"])
def test_a_call_that_does_not_fit(tape, method, args, named, message):
    with pytest.raises(TypeError, match=message):
        getattr(tape, method)(*args, **named)


def test_one_number_for_two_parameters(tape):
    with pytest.raises(ValueError, match=r"expected a dict of .* got float"):
        tape(1.0)


def test_minimize_takes_it_as_it_stands():
    tape = tg.trace(rosen, np.array([-1.2, 1.0]))
    found = minimize(tape, [-1.2, 1.0], jac=tape.grad, hess=tape.hessian, method="trust-exact")
    np.testing.assert_allclose(found.x, [1.0, 1.0], atol=1e-6)
    by_hand = minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    np.testing.assert_allclose(minimize(tape, [-1.2, 1.0], jac=tape.grad).x, by_hand.x, atol=1e-6)
    numbers = tg.trace(nll, dict(mu=0.0, ls=0.0))
    found = minimize(lambda t: numbers(*t), [1.0, 0.0], jac=lambda t: np.array(numbers.grad(*t)))
    np.testing.assert_allclose(found.x, [MEAN, np.log(SD)], atol=1e-6)


def test_minuit_finds_the_parameters_by_name(tape):
    iminuit = pytest.importorskip("iminuit")
    minuit = iminuit.Minuit(tape, mu=5.0, ls=0.0)
    assert minuit.parameters == ("mu", "ls")
    minuit.errordef = iminuit.Minuit.LIKELIHOOD
    minuit.migrad()
    minuit.hesse()
    assert minuit.valid
    assert minuit.ngrad > 0  # ours
    np.testing.assert_allclose(list(minuit.values), [MEAN, np.log(SD)], atol=2e-3)
    errors = [SD / np.sqrt(N), 1.0 / np.sqrt(2.0 * N)]
    np.testing.assert_allclose(list(minuit.errors), errors, rtol=2e-3)


def test_minuit_with_one_parameter_and_with_an_array():
    iminuit = pytest.importorskip("iminuit")
    one = iminuit.Minuit(tg.trace(lambda mu: nll(mu, 0.0), dict(mu=0.0)), mu=1.0)
    assert one.parameters == ("mu",)
    one.errordef = 0.5
    np.testing.assert_allclose(one.migrad().values[0], MEAN, rtol=1e-6)
    flat = iminuit.Minuit(tg.trace(lambda v: nll(v[0], v[1]), np.zeros(2)), np.zeros(2))
    flat.errordef = 0.5
    np.testing.assert_allclose(list(flat.migrad().values), [MEAN, np.log(SD)], atol=2e-3)
