"""Every derivative in the structures of parameters and outputs, as a tape, and under another trace."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import betaln, psi

import tapegrad as tg
from tapegrad.backends.replay import evaluate

NEST = dict(
    mu=0.3, beta=np.array([1.0, -2.0]), group=dict(L=np.array([[0.5, 1.5], [-1.0, 2.0]])), pair=(0.7, [1.1])
)
SIZE = 9
RNG = np.random.default_rng(3)
A = RNG.normal(size=(SIZE, SIZE))
A = A + A.T
B, C = RNG.normal(size=(2, 12, SIZE))
THETA, V = RNG.normal(size=(2, SIZE))


def flat(mu: Any, beta: Any, group: Any, pair: Any) -> Any:
    return np.concatenate([[mu], beta, group["L"].ravel(), [pair[0]], [pair[1][0]]])


def cubic(**nest: Any) -> Any:
    """A function of the nest whose derivatives are short: A x + x**2 / 2, A + diag(x), diag."""
    x = flat(**nest)
    return 0.5 * (x @ (A @ x)) + (x**3).sum() / 6.0


def quadratics(**nest: Any) -> Any:
    """Twelve numbers in a nest of outputs, with the Jacobian B + diag(C x) C."""
    x = flat(**nest)
    y = B @ x + 0.5 * (C @ x) ** 2
    return {"one": y[0], "row": y[1:4], "more": [y[4], (y[5:11].reshape(2, 3), y[11:12])]}


SHAPES = {"one": (), "row": (3,), "more": [(), ((2, 3), (1,))]}


@pytest.fixture
def scalar() -> tg.TracedFunction:
    return tg.trace(cubic, NEST)


@pytest.fixture
def nested() -> tg.TracedFunction:
    return tg.trace(quadratics, NEST)


def jacobian_at(x: np.ndarray) -> np.ndarray:
    return B + (C @ x)[:, None] * C


def joined(nest: Any) -> np.ndarray:
    """All numbers of a nest, in order."""
    if isinstance(nest, dict):
        nest = list(nest.values())
    if isinstance(nest, (list, tuple)):
        return np.concatenate([joined(part) for part in nest])
    return np.ravel(nest)


def kinds(nest: Any) -> Any:
    """The shapes within a nest; a float has none."""
    if isinstance(nest, dict):
        return {key: kinds(part) for key, part in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(kinds(part) for part in nest)
    return "float" if isinstance(nest, float) else nest.shape


# Structures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nested", "flat", "list"])
def test_derivatives_of_a_scalar(scalar, form):
    def as_given(x: np.ndarray) -> Any:
        return {"nested": scalar.unravel(x), "flat": x, "list": x.tolist()}[form]

    theta, v = as_given(THETA), as_given(V)
    gradient, hessian = A @ THETA + THETA**2 / 2.0, A + np.diag(THETA)
    np.testing.assert_allclose(joined(scalar.grad(theta)), gradient, rtol=1e-12)
    np.testing.assert_allclose(scalar.hessian(theta), hessian, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(joined(scalar.hvp(theta, v)), hessian @ V, rtol=1e-12)
    assert scalar.jvp(theta, v) == pytest.approx(gradient @ V, rel=1e-12)
    np.testing.assert_allclose(joined(scalar.vjp(theta, 2.0)), 2.0 * gradient, rtol=1e-12)
    np.testing.assert_allclose(scalar.third(theta, v), np.diag(V), rtol=1e-12, atol=1e-13)


def test_results_come_in_the_structure_of_the_parameters(scalar):
    like = {"mu": "float", "beta": (2,), "group": {"L": (2, 2)}, "pair": ("float", ["float"])}
    for result in (scalar.grad(NEST), scalar.hvp(NEST, NEST), scalar.vjp(NEST, 1.0), scalar.jacobian(NEST)):
        assert kinds(result) == like
        assert list(result) == ["mu", "beta", "group", "pair"]
    assert isinstance(scalar.jvp(NEST, NEST), float)
    assert scalar.hessian(NEST).shape == scalar.third(NEST, NEST).shape == (SIZE, SIZE)


def test_the_hessian_is_exactly_symmetric(scalar):
    for matrix in (
        scalar.hessian(THETA),
        scalar.third(THETA, V),
        scalar.hessian(THETA, sparse=True).toarray(),
    ):
        np.testing.assert_array_equal(matrix, matrix.T)


def test_derivatives_of_a_nest_of_outputs(nested):
    jacobian = jacobian_at(THETA)
    pushed = nested.jvp(THETA, V)
    assert kinds(pushed) == {"one": "float", "row": (3,), "more": ["float", ((2, 3), (1,))]}
    np.testing.assert_allclose(joined(pushed), jacobian @ V, rtol=1e-12)
    w = np.linspace(-1.0, 1.0, 12)
    nest = {"one": w[0], "row": w[1:4], "more": [w[4], (w[5:11].reshape(2, 3), w[11:])]}
    for given in (w, nest):
        pulled = nested.vjp(NEST | {"mu": 0.9}, given)
        assert kinds(pulled) == kinds(nested.structure.unravel(THETA))
        expected = w @ jacobian_at(nested.ravel(NEST | {"mu": 0.9}))
        np.testing.assert_allclose(joined(pulled), expected, rtol=1e-12)


def test_a_jacobian_has_the_outputs_shape_and_then_the_leafs(nested):
    found = nested.jacobian(THETA)

    def each(shape: tuple[int, ...]) -> Any:
        scalars = shape or "float"
        return {
            "mu": scalars,
            "beta": (*shape, 2),
            "group": {"L": (*shape, 2, 2)},
            "pair": (scalars, [scalars]),
        }

    assert kinds(found) == {
        "one": each(()),
        "row": each((3,)),
        "more": [each(()), (each((2, 3)), each((1,)))],
    }
    jacobian = jacobian_at(THETA)
    np.testing.assert_allclose(found["row"]["group"]["L"], jacobian[1:4, 3:7].reshape(3, 2, 2), rtol=1e-12)
    np.testing.assert_allclose(found["more"][1][0]["beta"], jacobian[5:11, 1:3].reshape(2, 3, 2), rtol=1e-12)
    np.testing.assert_allclose(found["more"][0]["pair"][1][0], jacobian[4, 8], rtol=1e-12)
    np.testing.assert_allclose(found["one"]["mu"], jacobian[0, 0], rtol=1e-12)


def test_lists_give_lists_of_jacobians():
    tape = tg.trace(lambda theta: np.outer(theta[0], theta[1]), [np.ones(2), np.ones(3)])
    first, second = tape.jacobian([np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])])
    np.testing.assert_array_equal(first, np.einsum("ik,j->ijk", np.eye(2), [3.0, 4.0, 5.0]))
    np.testing.assert_array_equal(second, np.einsum("i,jk->ijk", [1.0, 2.0], np.eye(3)))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x**2, 6.0),
        (lambda x: (x**2, 5.0 * x), (6.0, 5.0)),
        (lambda x: [x**2, 5.0 * x], [6.0, 5.0]),
        (lambda x: dict(a=x**2, b=dict(c=5.0 * x)), dict(a=6.0, b=dict(c=5.0))),
        (lambda x: [x**2, 7.0], [6.0, 0.0]),
    ],
)
def test_outputs_of_every_kind(f, expected):
    tape = tg.trace(f, 1.0)
    assert tape(3.0) == f(3.0)
    assert tape.jacobian(3.0) == expected
    assert tape.jvp(3.0, 1.0) == expected
    assert tape.vjp(3.0, np.ones(tape.outputs.size)) == pytest.approx(joined(expected).sum())


def test_an_output_may_be_a_parameter_itself_or_come_twice():
    tape = tg.trace(lambda a, b: (a, a, a * b), dict(a=1.0, b=2.0))
    assert tape.jacobian([3.0, 4.0]) == ({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, {"a": 4.0, "b": 3.0})
    assert tape.vjp([3.0, 4.0], (1.0, 10.0, 100.0)) == {"a": 411.0, "b": 300.0}


def test_parameters_and_outputs_of_no_or_one_element():
    tape = tg.trace(
        lambda a, b: (a * 2.0, b.sum(keepdims=True) * np.ones((1, 1))), dict(a=np.zeros(0), b=np.ones((1, 1)))
    )
    theta = dict(a=np.zeros(0), b=np.array([[3.0]]))
    found = tape.jacobian(theta)
    assert kinds(found) == ({"a": (0, 0), "b": (0, 1, 1)}, {"a": (1, 1, 0), "b": (1, 1, 1, 1)})
    assert found[1]["b"].item() == 1.0
    assert kinds(tape.vjp(theta, np.ones(1))) == {"a": (0,), "b": (1, 1)}


# Wrong arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.hvp(NEST, [1.0, 2.0]), r"theta has 2 elements, expected 9: a dict of mu: a number"),
        (lambda t: t.jvp(NEST, dict(mu=1.0)), r"missing \['beta', 'group', 'pair'\], unexpected \[\]"),
        (lambda t: t.third(NEST, NEST | {"beta": np.ones(3)}), r"beta has shape \(3,\), expected \(2,\)"),
        (lambda t: t.hessian(NEST | {"tau": 1.0}), r"unexpected \['tau'\]"),
        (lambda t: t.vjp(NEST, [1.0, 2.0]), r"\(2,\)|2 elements"),
        (lambda t: t.jacobian(np.ones(8)), "theta has 8 elements, expected 9"),
    ],
)
def test_wrong_structures_say_what_was_expected(scalar, call, message):
    with pytest.raises(ValueError, match=message):
        call(scalar)


def test_wrong_cotangents_say_what_was_expected(nested):
    with pytest.raises(ValueError, match="a dict of one: a number, row: an array of shape"):
        nested.vjp(NEST, {"one": 1.0})
    with pytest.raises(ValueError, match="11 elements, expected 12"):
        nested.vjp(NEST, np.ones(11))


@pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "hvp", "third"])
def test_what_needs_a_scalar_says_so(nested, name):
    arguments = (NEST, NEST) if name in ("hvp", "third") else (NEST,)
    with pytest.raises(ValueError, match="needs a scalar; quadratics returns several outputs"):
        getattr(nested, name)(*arguments)
    for name in ("grad_tape", "hessian_tape"):
        with pytest.raises(ValueError, match="needs a scalar"):
            getattr(nested, name)


# Forward or reverse -----------------------------------------------------------------------------------------


def test_a_jacobian_takes_as_many_products_as_there_are_rows_or_columns(products):
    m = RNG.normal(size=(2, 30))
    tall = tg.trace(lambda b: np.exp(m.T @ b), np.zeros(2))
    wide = tg.trace(lambda b: np.tanh(m @ b), np.zeros(30))
    b = RNG.normal(size=2)
    np.testing.assert_allclose(tall.jacobian(b), np.exp(m.T @ b)[:, None] * m.T, rtol=1e-13)
    b = 0.1 * RNG.normal(size=30)
    np.testing.assert_allclose(wide.jacobian(b), (1.0 - np.tanh(m @ b) ** 2)[:, None] * m, rtol=1e-12)
    assert products == [("jvp", 2), ("vjp", 2)]


# Derivatives as tapes ---------------------------------------------------------------------------------------


def test_tapes_of_derivatives_print_verify_pickle_and_run(scalar):
    for tape, expected in (
        (scalar.grad_tape, joined([scalar(THETA), scalar.grad(THETA)])),
        (scalar.hessian_tape, scalar.hessian(THETA).ravel()),
    ):
        tg.verify(tape)
        again = pickle.loads(pickle.dumps(tape))
        tg.verify(again)
        assert str(again) == str(tape)
        assert str(tape).startswith("tape cubic(mu, beta, group.L, pair[0], pair[1][0]) -> ")
        assert "return 0.5 * (x @ (A @ x)) + (x**3).sum() / 6.0" in str(tape)
        values = evaluate(again, THETA, {})
        found = joined([values[slot] for slot in again.outputs])
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert scalar.hessian_tape.avals[scalar.hessian_tape.outputs[0]].shape == (SIZE, SIZE)


def test_tapes_of_derivatives_keep_guards_and_data():
    def f(mu, y):
        return (mu * y).sum() ** 2 if mu > 0.0 else mu**4

    tape = tg.trace(f, dict(mu=1.0), data=dict(y=np.array([1.0, 2.0])))
    for derived in (tape.grad_tape, tape.hessian_tape):
        assert len(derived.guards) == 1
        assert dict(derived.labels)[derived.data[0]] == "y"
    assert tape.hessian(dict(mu=-2.0)) == pytest.approx(48.0)
    assert str(tape.hessian_tape).count("guard") == 2  # in the header, and where it stands
    assert tape.hessian(dict(mu=2.0)) == pytest.approx(18.0)
    assert tape.retraces == 1


def test_every_derivative_follows_a_branch():
    tape = tg.trace(lambda a: a**3 if a > 1.0 else 5.0 * a**2, 2.0)
    for _ in range(2):
        assert tape.grad(0.5) == 5.0
        assert tape.hessian(2.0) == pytest.approx(12.0)
        assert tape.hvp(0.5, 3.0) == 30.0
        assert tape.third(2.0, 1.0) == pytest.approx(6.0)
        assert tape.jvp(0.5, 2.0) == 10.0
        assert tape.vjp(2.0, 2.0) == pytest.approx(24.0)
        assert tape.third(0.5, 1.0) == 0.0
        assert tape.hessian(0.5, sparse=True).toarray() == [[10.0]]
    assert tape.retraces == 1


# Under another trace ----------------------------------------------------------------------------------------

QUARTIC = tg.trace(lambda x: x**4 / 4.0, 1.0)


@pytest.mark.parametrize(
    ("inside", "value", "first", "second"),
    [
        (lambda x: QUARTIC(x), lambda x: x**4 / 4, lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: QUARTIC.grad(x), lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x),
        (lambda x: QUARTIC.value_and_grad(x)[1], lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x),
        (lambda x: QUARTIC.hvp(x, x), lambda x: 3 * x**3, lambda x: 9 * x**2, lambda x: 18 * x),
        (lambda x: QUARTIC.jvp(x, x), lambda x: x**4, lambda x: 4 * x**3, lambda x: 12 * x**2),
        (lambda x: QUARTIC.vjp(x, x), lambda x: x**4, lambda x: 4 * x**3, lambda x: 12 * x**2),
        (lambda x: QUARTIC.hessian(x)[0, 0], lambda x: 3 * x**2, lambda x: 6 * x, lambda x: 6.0),
        (lambda x: QUARTIC.jacobian(x), lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x),
        (lambda x: QUARTIC.grad(QUARTIC.grad(x)), lambda x: x**9, lambda x: 9 * x**8, lambda x: 72 * x**7),
        # A step of Newton's method: x - x / 3.
        (
            lambda x: x - QUARTIC.grad(x) / QUARTIC.hvp(x, 1.0),
            lambda x: 2 * x / 3,
            lambda x: 2 / 3,
            lambda x: 0.0,
        ),
    ],
)
def test_derivatives_inside_another_trace(inside, value, first, second):
    outer = tg.trace(inside, 1.2)
    for x in (1.2, -0.7, 2.5):
        assert outer(x) == pytest.approx(value(x), rel=1e-12)
        assert outer.grad(x) == pytest.approx(first(x), rel=1e-12)
        assert outer.hessian(x).item() == pytest.approx(second(x), rel=1e-11, abs=1e-12)
    tg.verify(outer.tape)
    assert outer.retraces == 0


def test_derivatives_of_a_nest_inside_another_trace(scalar):
    """d/dx of v' grad(x) is H v; of v' H(x) v it is v * v; of jvp(x, x) it is grad + H x."""
    gradient, hessian = A @ THETA + THETA**2 / 2.0, A + np.diag(THETA)
    sloped = tg.trace(lambda x: V @ flat(**scalar.grad(x)), THETA)
    np.testing.assert_allclose(sloped.grad(THETA), hessian @ V, rtol=1e-12)
    curved = tg.trace(lambda x: V @ flat(**scalar.hvp(x, V)), THETA)
    np.testing.assert_allclose(curved.grad(THETA), V * V, rtol=1e-11)
    whole = tg.trace(lambda x: V @ (scalar.hessian(x) @ V), THETA)
    np.testing.assert_allclose(whole.grad(THETA), V * V, rtol=1e-11)
    pushed = tg.trace(lambda x: scalar.jvp(x, x), THETA)
    np.testing.assert_allclose(pushed.grad(THETA), gradient + hessian @ THETA, rtol=1e-12)
    pulled = tg.trace(lambda x: V @ flat(**scalar.vjp(x, x[0])), THETA)
    expected = THETA[0] * (hessian @ V)
    expected[0] += gradient @ V
    np.testing.assert_allclose(pulled.grad(THETA), expected, rtol=1e-12)


def test_a_nest_of_outputs_inside_another_trace(nested):
    def f(x: Any) -> Any:
        jacobian = nested.jacobian(x)
        return (jacobian["row"]["beta"] ** 2).sum() + nested(x)["more"][0]

    J = jacobian_at(THETA)
    outer = tg.trace(f, THETA)
    beta = slice(1, 3)
    expected = sum(2.0 * J[i, k] * C[i, k] * C[i] for i in (1, 2, 3) for k in range(SIZE)[beta]) + J[4]
    np.testing.assert_allclose(outer.grad(THETA), expected, rtol=1e-11)


def test_parameters_of_the_inner_function_may_be_traced_in_part():
    inner = tg.trace(lambda a, b: a**2 * b**3, dict(a=1.0, b=1.0))
    outer = tg.trace(lambda x: inner.grad(dict(a=2.0, b=x))["a"], 1.0)
    assert outer(3.0) == pytest.approx(4.0 * 27.0)
    assert outer.grad(3.0) == pytest.approx(12.0 * 9.0)


def test_only_the_direction_may_be_traced(scalar):
    outer = tg.trace(lambda v: V @ flat(**scalar.hvp(THETA, v)), V)
    np.testing.assert_allclose(outer.grad(V), (A + np.diag(THETA)) @ V, rtol=1e-12)
    pulled = tg.trace(lambda w: V @ flat(**scalar.vjp(THETA, w)), 1.0)
    assert pulled.grad(2.0) == pytest.approx((A @ THETA + THETA**2 / 2.0) @ V)


def test_branches_of_the_inner_function_are_guarded_in_the_outer():
    inner = tg.trace(lambda a: a**3 if a > 1.0 else 5.0 * a**2, 2.0)

    def f(x: Any) -> Any:
        return inner.grad(2.0 * x) + inner(x)

    outer = tg.trace(f, 3.0)
    assert outer.tape.guards
    expected = {
        3.0: (3 * 36.0 + 27.0, 6 * 6.0 * 2 + 27.0),
        0.7: (3 * 1.96 + 5 * 0.49, 6 * 1.4 * 2 + 10 * 0.7),
        0.2: (10 * 0.4 + 5 * 0.04, 20.0 + 2.0),
    }
    for _ in range(2):
        for x, (value, slope) in expected.items():
            assert outer(x) == pytest.approx(value, rel=1e-12)
            assert outer.grad(x) == pytest.approx(slope, rel=1e-12)
    assert outer.retraces == 2


@pytest.mark.parametrize("name", ["hvp", "jvp", "vjp", "hessian", "jacobian"])
def test_branches_are_guarded_by_every_derivative(name):
    inner = tg.trace(lambda a: a**3 if a > 1.0 else 5.0 * a**2, 2.0)

    def f(x: Any) -> Any:
        found = getattr(inner, name)(*((x, 1.0) if name in ("hvp", "jvp", "vjp") else (x,)))
        return found[0, 0] if name == "hessian" else found

    outer = tg.trace(f, 2.0)
    second = name in ("hvp", "hessian")
    for x in (2.0, 0.5, 3.0, 0.1):
        expected = (6 * x if second else 3 * x**2) if x > 1.0 else (10.0 if second else 10.0 * x)
        assert outer(x) == pytest.approx(expected, rel=1e-12)
        slope = (6.0 if second else 6 * x) if x > 1.0 else (0.0 if second else 10.0)
        assert outer.grad(x) == pytest.approx(slope, rel=1e-12, abs=1e-14)


def test_data_of_the_inner_function_come_along():
    inner = tg.trace(lambda mu, y: ((y - mu) ** 2).sum(), dict(mu=0.0), data=dict(y=np.array([1.0, 2.0])))
    other = inner.with_data(y=np.array([3.0, 5.0]))
    outer = tg.trace(lambda x: inner.grad([x])["mu"] * other([x]), 0.0)
    assert outer(1.0) == pytest.approx(-2.0 * 20.0)
    assert outer.grad(1.0) == pytest.approx(4.0 * 20.0 + -2.0 * -12.0)


def test_a_loop_around_a_gradient():
    """Gradient descent on (x - c)**2 / 2 from 0: after k steps x is c (1 - (1 - s)**k)."""
    tape = tg.trace(lambda x, c: (x - c) ** 2 / 2.0, dict(x=0.0, c=1.0))

    def descended(c: Any, s: Any) -> Any:
        x = 0.0 * c
        for _ in range(5):
            x = x - s * tape.grad(dict(x=x, c=c))["x"]
        return x

    outer = tg.trace(descended, dict(c=1.0, s=0.1))
    assert outer([3.0, 0.2]) == pytest.approx(3.0 * (1.0 - 0.8**5))
    found = outer.grad([3.0, 0.2])
    assert found["c"] == pytest.approx(1.0 - 0.8**5)
    assert found["s"] == pytest.approx(3.0 * 5.0 * 0.8**4)


def test_the_slope_of_betaln_below_0_is_that_of_its_gamma_functions():
    a, b = np.array([-1.4, -0.3]), np.array([2.9, -0.2])
    found = tg.trace(lambda a: betaln(a, b).sum(), a).grad(a)
    np.testing.assert_allclose(found, psi(a) - psi(a + b), rtol=1e-13)
