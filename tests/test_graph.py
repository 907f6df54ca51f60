"""The graph-per-call baseline, against analytic gradients, SciPy's differences and HIPS autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special
from scipy.differentiate import derivative

from tapegrad.graph import Value, value_and_grad

rng = np.random.default_rng(7)

UNARY: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exp": (np.exp, -0.4),
    "expm1": (np.expm1, -0.4),
    "log": (np.log, 1.7),
    "log1p": (np.log1p, 1.7),
    "sqrt": (np.sqrt, 1.7),
    "square": (np.square, -0.4),
    "sin": (np.sin, -0.4),
    "cos": (np.cos, -0.4),
    "tanh": (np.tanh, -0.4),
    "expit": (special.expit, -0.4),
    "gammaln": (special.gammaln, 1.7),
    "abs": (abs, -0.4),
    "negative": (np.negative, 1.7),
    "power of a constant": (lambda x: x**3 - x**-1.5, 1.7),
    "constant to a power": (lambda x: 2.5**x, -0.4),
    "reflected": (lambda x: 2.0 + (3.0 - (4.0 * (5.0 / x))), 1.7),
    "maximum": (lambda x: np.maximum(0.5, x) * np.maximum(x, 9.0), 1.7),
    "minimum": (lambda x: np.minimum(x, 9.0) * np.minimum(0.5, x), 1.7),
    "where": (lambda x: np.where(x > 1.0, x * x, -x), 1.7),
    "where not": (lambda x: np.where(x > 2.0, x * x, -x), 1.7),
    "logaddexp": (lambda x: np.logaddexp(0.3, x) * np.logaddexp(x, -0.8), 1.7),
    "xlogy": (lambda x: special.xlogy(x, 2.0) + special.xlogy(3.0, x), 1.7),
    "xlog1py": (lambda x: special.xlog1py(x, 2.0) + special.xlog1py(3.0, x), 1.7),
}


@pytest.mark.parametrize("name", UNARY)
def test_elementwise_gradients_agree_with_differences(name: str) -> None:
    f, centre = UNARY[name]
    points = centre + np.array([[0.0, 0.05], [0.1, 0.2], [0.25, -0.1]])

    value, grad = value_and_grad(lambda x: np.sum(f(x)), points)
    assert_allclose(value, np.sum(f(points)), rtol=1e-14)
    assert_allclose(grad, derivative(f, points).df, rtol=1e-8)

    value, grad = value_and_grad(f, centre)
    assert type(value) is float
    assert type(grad) is float
    assert_allclose(value, f(centre), rtol=1e-14)
    assert_allclose(grad, derivative(f, centre).df, rtol=1e-8)


@pytest.mark.parametrize("method", ["exp", "log", "log1p", "sqrt", "tanh", "sigmoid"])
def test_methods_are_the_functions(method: str) -> None:
    function = special.expit if method == "sigmoid" else getattr(np, method)
    assert value_and_grad(lambda x: getattr(x, method)(), 0.7) == value_and_grad(function, 0.7)


def test_an_object_array_of_values_works_through_the_methods() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.sum(np.exp(np.array([a, b, a])) * np.array([1.0, 2.0, 3.0]))

    _, grad = value_and_grad(f, {"a": 0.1, "b": 0.2})
    assert_allclose([grad["a"], grad["b"]], [4.0 * np.exp(0.1), 2.0 * np.exp(0.2)])


def test_relu() -> None:
    value, grad = value_and_grad(lambda x: x.relu().sum(), np.array([-1.0, 0.0, 2.0]))
    assert value == 2.0
    assert grad.tolist() == [0.0, 0.0, 1.0]


def test_a_tie_splits_the_gradient() -> None:
    for larger_or_smaller in (np.maximum, np.minimum):
        _, grad = value_and_grad(lambda a, b, f=larger_or_smaller: f(a, b), {"a": 1.0, "b": 1.0})
        assert grad == {"a": 0.5, "b": 0.5}


def test_power_at_zero() -> None:
    assert value_and_grad(lambda x: x**2, 0.0) == (0.0, 0.0)
    assert value_and_grad(lambda x: x**0, 0.0) == (1.0, 0.0)
    assert value_and_grad(lambda y: np.zeros(2)[0] ** y, 2.0) == (0.0, 0.0)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "logaddexp": np.logaddexp,
    "maximum": np.maximum,
    "where": lambda a, b: np.where(np.array([True, False, True]), a, b),
}
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), (3,)),
    ((3,), (3,)),
    ((1,), (3,)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((1, 1), (2, 3)),
    ((2, 1, 3), (4, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_broadcasting_is_undone_in_the_gradient(name: str, shapes: tuple[Any, Any]) -> None:
    f = BINARY[name]
    for shape_a, shape_b in (shapes, shapes[::-1]):
        a, b = rng.uniform(0.5, 2.0, shape_a), rng.uniform(0.5, 2.0, shape_b)
        weights = rng.normal(size=np.shape(f(a, b)))

        def weighted(a: Any, b: Any, weights: Any = weights) -> Any:
            return np.sum(weights * f(a, b))

        value, grad = value_and_grad(weighted, {"a": a, "b": b})
        assert_allclose(value, weighted(a, b), rtol=1e-12)
        for key, at, other in (("a", a, b), ("b", b, a)):
            step = rng.normal(size=np.shape(at))

            def along(t: float, at: Any = at, step: Any = step, other: Any = other, key: str = key) -> Any:
                moved = at + t * step
                return weighted(moved, other) if key == "a" else weighted(other, moved)

            expected = derivative(np.vectorize(along), 0.0, initial_step=0.01).df
            assert np.shape(grad[key]) == np.shape(at)
            assert_allclose(np.sum(grad[key] * step), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4))], ids=str)
@pytest.mark.parametrize("product", [lambda a, b: a @ b, np.dot, np.matmul])
def test_matmul(shapes: tuple[Any, Any], product: Callable[[Any, Any], Any]) -> None:
    a, b = (rng.normal(size=shape) for shape in shapes)
    weights = rng.normal(size=np.shape(a @ b))

    def f(a: Any, b: Any) -> Any:
        return np.sum(weights * product(a, b))

    value, grad = value_and_grad(f, {"a": a, "b": b})
    assert_allclose(value, f(a, b))
    # The product is linear in each operand: the gradient at `a` dotted with any `a` is the value.
    step_a, step_b = rng.normal(size=a.shape), rng.normal(size=b.shape)
    assert_allclose(np.sum(grad["a"] * step_a), f(step_a, b))
    assert_allclose(np.sum(grad["b"] * step_b), f(a, step_b))
    # A constant on either side gives the same.
    assert_allclose(value_and_grad(lambda a: f(a, b), a)[1], grad["a"])
    assert_allclose(value_and_grad(lambda b: f(a, b), b)[1], grad["b"])


@pytest.mark.parametrize("reduce", [np.sum, np.mean])
@pytest.mark.parametrize("options", [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}])
def test_reductions(reduce: Callable[..., Any], options: dict[str, Any]) -> None:
    x = rng.normal(size=(2, 3, 4))
    weights = rng.normal(size=np.shape(reduce(x, **options)))

    def f(x: Any) -> Any:
        return np.sum(weights * reduce(x, **options))

    value, grad = value_and_grad(f, x)
    step = rng.normal(size=x.shape)
    assert_allclose(value, f(x))
    assert grad.shape == x.shape
    assert_allclose(np.sum(grad * step), f(step))


@pytest.mark.parametrize(
    "key", [1, -1, slice(1, None), (slice(None), 2), [0, 0, 1], np.array([[True, False, True]] * 2), (1, 2)]
)
def test_indexing(key: Any) -> None:
    x = rng.normal(size=(2, 3))
    weights = rng.normal(size=np.shape(x[key]))
    value, grad = value_and_grad(lambda x: np.sum(weights * x[key]), x)
    expected = np.zeros((2, 3))
    np.add.at(expected, key, weights)
    assert_allclose(value, np.sum(weights * x[key]))
    assert_allclose(grad, expected)


def test_a_node_used_twice_gets_both_contributions() -> None:
    x = Value(3.0)
    y = x * x
    z = y * y + y
    z.backward()
    assert z.data == 90.0
    assert x.grad == 4 * 3.0**3 + 2 * 3.0
    assert y.grad == 2 * 9.0 + 1.0
    assert y.prev == (x, x)


def test_constants_get_no_node() -> None:
    x = Value(np.ones(3))
    assert (x * np.arange(3.0)).prev == (x,)
    assert (np.arange(3.0) * x).prev == (x,)


def test_a_second_backward_does_not_accumulate() -> None:
    x = Value(np.array([1.0, 2.0]))
    y = np.exp(x).sum()
    y.backward()
    first = x.grad.copy()
    y.backward()
    assert_allclose(x.grad, first, rtol=0)
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    y = x
    for _ in range(200_000):
        y = y + x
    y.backward()
    assert x.grad == 200_001.0


def test_comparisons_decide_on_the_data() -> None:
    assert Value(2.0) > 1
    assert Value(2.0) < Value(3.0)
    assert Value(2.0) == 2.0
    assert not Value(0.0)
    assert (Value(np.arange(3.0)) >= 1.0).tolist() == [False, True, True]
    assert np.greater(np.arange(3.0), Value(1.0)).tolist() == [False, False, True]

    def f(x: Any) -> Any:
        return x * x if x > 0 else -x

    assert value_and_grad(f, 3.0) == (9.0, 6.0)
    assert value_and_grad(f, -3.0) == (3.0, -1.0)


@pytest.mark.parametrize("x", [[1.0, 2.0], (1.0, 2.0), {"u": 1.0, "v": (2.0, [3.0])}])
def test_value_and_grad_keeps_the_structure(x: Any) -> None:
    def total(nest: Any) -> Any:
        if isinstance(nest, dict):
            nest = list(nest.values())
        return sum(map(total, nest)) if isinstance(nest, (list, tuple)) else nest * nest

    def doubled(nest: Any) -> Any:
        if isinstance(nest, dict):
            return {key: doubled(item) for key, item in nest.items()}
        return type(nest)(map(doubled, nest)) if isinstance(nest, (list, tuple)) else 2.0 * nest

    f = (lambda **nest: total(nest)) if isinstance(x, dict) else total
    value, grad = value_and_grad(f, x)
    assert value == total(x)
    assert grad == doubled(x)


def test_a_parameter_that_is_not_used_has_a_zero_gradient() -> None:
    value, grad = value_and_grad(lambda a, b, c: a * 2.0, {"a": 1, "b": np.ones(2), "c": 4})
    assert value == 2.0
    assert (grad["a"], grad["b"].tolist(), grad["c"]) == (2.0, [0.0, 0.0], 0.0)
    assert value_and_grad(lambda a: 3, 1.0) == (3.0, 0.0)


def test_gradients_can_be_written_to() -> None:
    x = np.ones(3)
    _, grad = value_and_grad(np.sum, x)
    grad += 1.0
    assert grad.tolist() == [2.0, 2.0, 2.0]
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"starts from a scalar, but this value has shape \(3,\)"):
        Value(np.ones(3)).backward()
    with pytest.raises(ValueError, match=r"f must return a scalar, got an array of shape \(3,\)"):
        value_and_grad(lambda x: x * 2.0, np.ones(3))
    with pytest.raises(TypeError, match=r"no graph rule for floor; expected a plain call of one of absolute"):
        np.floor(Value(1.0))
    with pytest.raises(TypeError, match=r"no graph rule for add\.reduce"):
        np.add.reduce(Value(np.ones(3)))
    with pytest.raises(TypeError, match="no graph rule for add with out"):
        np.add(np.ones(3), Value(1.0), out=np.ones(3))
    with pytest.raises(TypeError, match="no graph rule for cumsum; expected a ufunc or one of dot, mean"):
        np.cumsum(Value(np.ones(3)))
    with pytest.raises(ZeroDivisionError):
        Value(1.0) / 0.0


def test_shapes_and_printing() -> None:
    x = Value([[1, 2], [3, 4]])
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 2), 2, 4, 2)
    assert (Value(1).shape, Value(1).ndim, Value(1).size) == ((), 0, 1)
    assert repr(Value(2)) == "Value(data=2.0, grad=0.0)"


def test_agrees_with_autograd_on_a_small_network() -> None:
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp

    inputs, labels = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)

    def loss(xp: Any, w1: Any, b1: Any, w2: Any) -> Any:
        hidden = xp.tanh(inputs @ w1 + b1)
        eta = hidden @ w2
        penalty = xp.mean(w1**2) + xp.sum(w2[[0, 1, 0]] ** 2)
        return xp.mean(xp.logaddexp(0.0, eta) - labels * eta) + 0.1 * penalty

    params = {"w1": rng.normal(size=(3, 5)), "b1": rng.normal(size=5), "w2": rng.normal(size=5)}
    value, grad = value_and_grad(lambda **p: loss(np, **p), params)
    expected = autograd.grad(lambda p: loss(anp, **p))(params)
    assert_allclose(value, loss(np, **params), rtol=1e-14)
    for name in params:
        assert_allclose(grad[name], expected[name], rtol=1e-12)
