"""Constraints: the maps themselves, and fits and standard errors under them."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tapegrad import trace
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, fit
from tapegrad.mle.model.make_space import make_space as make_space_of
from tapegrad.mle.model.space import Space
from tapegrad.mle.transforms import (
    Transform,
    correlation,
    identity,
    interval,
    lower,
    ordered,
    positive,
    positive_definite,
    simplex,
    sum_to_zero,
    unit,
    upper,
)
from tapegrad.nest import structure_of
from tapegrad.stats import bernoulli, expon, norm

RNG = np.random.default_rng(5)
X = RNG.normal(2.0, 3.0, size=300)
R = np.array([[1.0, 0.3, -0.2], [0.3, 1.0, 0.5], [-0.2, 0.5, 1.0]])
S = R * np.outer([1.0, 2.0, 0.5], [1.0, 2.0, 0.5])


def make_space(params: Any, root_label: str, *args: Any, **options: Any) -> Space:
    return make_space_of(*structure_of(params, root_label), *args, **options)


# A value inside, and one that is not.
CASES: list[tuple[Transform, Any, Any]] = [
    (positive, 0.7, 0.0),
    (positive, np.array([0.1, 30.0]), np.array([1.0, -1.0])),
    (lower(-2.0), -1.5, -2.0),
    (upper(3.0), np.array([[2.9, -100.0]]), 3.5),
    (interval(2.0, 5.0), np.array([2.001, 4.0]), 5.0),
    (unit, 0.25, 1.0),
    (simplex, np.array([0.2, 0.5, 0.3]), np.array([0.2, 0.5, 0.4])),
    (simplex, np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.0, 1.0])),
    (ordered, np.array([-1.0, 0.5, 0.6]), np.array([1.0, 1.0, 2.0])),
    (ordered, np.array([[1.0, 2.0], [-3.0, 4.0]]), np.array([2.0, 1.0])),
    (correlation, R, np.array([[1.0, 2.0], [2.0, 1.0]])),
    (correlation, R[:2, :2], 2.0 * np.eye(3)),
    (positive_definite, S, np.zeros((2, 2))),
    (positive_definite, np.array([[3.0]]), np.array([[1.0, 0.5], [0.4, 1.0]])),
    (sum_to_zero, np.array([1.0, -3.0, 2.0]), np.array([1.0, 1.0])),
    (sum_to_zero, np.array([[1.0, -1.0], [0.25, -0.25]]), np.array([1.0, 0.0])),
]


@pytest.mark.parametrize(("transform", "inside", "outside"), CASES)
def test_values_come_back(transform: Transform, inside: Any, outside: Any) -> None:
    value = np.asarray(inside, dtype=np.float64)
    free = transform.to_free(value, "a")
    np.testing.assert_allclose(transform.forward(free), value, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match=r"a must be .* \(.*\), not "):
        transform.to_free(np.asarray(outside, dtype=np.float64), "a")


@pytest.mark.parametrize(("transform", "inside"), [case[:2] for case in CASES])
def test_anything_free_is_allowed(transform: Transform, inside: Any) -> None:
    shape = transform.free_shape(np.shape(inside))
    for _ in range(20):
        value = np.asarray(transform.forward(RNG.normal(size=shape)))
        np.testing.assert_allclose(
            transform.forward(transform.to_free(value, "a")), value, rtol=1e-9, atol=1e-9
        )
        assert value.shape == np.shape(inside)


@pytest.mark.parametrize(("transform", "inside"), [case[:2] for case in CASES])
def test_jacobians_equal_differences(transform: Transform, inside: Any) -> None:
    space = make_space({"a": inside}, "a", {"a": transform})
    step = 1e-6
    columns = [
        (space.natural(space.start + step * e) - space.natural(space.start - step * e)) / (2.0 * step)
        for e in np.eye(space.start.size)
    ]
    np.testing.assert_allclose(space.jacobian(space.start), np.column_stack(columns), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(
    ("transform", "value", "message"),
    [
        (simplex, 1.0, "simplex does not fit a of shape .*: it takes a vector of at least 2 elements"),
        (simplex, np.ones(1), "at least 2 elements"),
        (ordered, 1.0, "at least 1 elements"),
        (correlation, np.ones((1, 1)), "a square matrix of at least 2 by 2"),
        (positive_definite, np.ones((2, 3)), "it takes a square matrix"),
        (positive_definite, np.ones(3), "it takes a square matrix"),
    ],
)
def test_shapes_that_do_not_fit(transform: Transform, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_space({"a": value}, "a", {"a": transform})


def test_bounds_that_are_none() -> None:
    with pytest.raises(ValueError, match="needs a < b, not 2 and 1"):
        interval(2.0, 1.0)
    with pytest.raises(ValueError, match="a bound is a finite number, not inf; leave it out"):
        lower(np.inf)


# Fits -------------------------------------------------------------------------------------------------------


def normal(mu: Any, sigma: Any) -> Any:
    return norm.logpdf(X, mu, sigma).sum()


START = {"mu": 0.0, "sigma": 1.0}
METHODS = ("bfgs", "lbfgs", "newton", "trust", "gradient_ascent", "nelder-mead")


@pytest.mark.parametrize("method", METHODS)
def test_a_positive_sigma_in_closed_form(method: str) -> None:
    result = fit(normal, START, method, transforms={"sigma": positive})
    assert result.converged
    sd = X.std()
    np.testing.assert_allclose(result.x, [X.mean(), sd], rtol=1e-8)
    np.testing.assert_allclose(result.bse, [sd / np.sqrt(300), sd / np.sqrt(600)], rtol=1e-8)
    assert result.params == {"mu": result.x[0], "sigma": result.x[1]}
    assert result.names == ("mu", "sigma")
    assert result._model is not None
    assert result._model.space.free_names == ("mu", "log(sigma)")


@pytest.mark.parametrize("transform", [positive, lower(0.5), upper(50.0), interval(0.0, 10.0)])
def test_standard_errors_do_not_depend_on_the_transform(transform: Transform) -> None:
    plain = fit(normal, {"mu": 1.0, "sigma": 2.0})
    result = fit(normal, {"mu": 1.0, "sigma": 2.0}, transforms={"sigma": transform})
    np.testing.assert_allclose(result.x, plain.x, rtol=1e-9)
    np.testing.assert_allclose(result.bse, plain.bse, rtol=1e-7)
    np.testing.assert_allclose(result.cov_params(), plain.cov_params(), rtol=1e-6, atol=1e-12)


def test_a_parameter_alone_takes_its_transform_alone() -> None:
    waits = RNG.exponential(2.0, size=100)
    result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), 1.0, transforms=positive)
    np.testing.assert_allclose(result.params, waits.mean(), rtol=1e-9)
    np.testing.assert_allclose(result.bse, waits.mean() / 10.0, rtol=1e-8)
    assert result.names == ("scale",)


def test_proportions_in_closed_form() -> None:
    counts = np.array([20.0, 50.0, 30.0])
    result = fit(
        lambda p: (counts * np.log(p)).sum(), {"p": np.full(3, 1.0 / 3.0)}, transforms={"p": simplex}
    )
    p = counts / 100.0
    np.testing.assert_allclose(result.x, p, rtol=1e-9)
    np.testing.assert_allclose(result.cov_params(), (np.diag(p) - np.outer(p, p)) / 100.0, rtol=1e-7)


@pytest.mark.parametrize("transform", [correlation, positive_definite])
def test_matrices_against_the_sample(transform: Transform) -> None:
    draws = RNG.multivariate_normal(np.zeros(3), R, size=400)
    scatter = draws.T @ draws

    def loglik(c: Any) -> Any:
        # Cholesky and determinant by hand, of order 3.
        a = np.sqrt(c[0, 0])
        b, d = c[1, 0] / a, c[2, 0] / a
        e = np.sqrt(c[1, 1] - b * b)
        f = (c[2, 1] - b * d) / e
        g = np.sqrt(c[2, 2] - d * d - f * f)
        x = draws[:, 0] / a
        y = (draws[:, 1] - b * x) / e
        z = (draws[:, 2] - d * x - f * y) / g
        return -0.5 * (x * x + y * y + z * z).sum() - 400 * np.log(a * e * g)

    result = fit(loglik, {"c": np.eye(3)}, transforms={"c": transform})
    assert result.converged
    found = result.params["c"]
    if transform is positive_definite:
        np.testing.assert_allclose(found, scatter / 400, rtol=1e-7)
        np.testing.assert_allclose(result.bse[0], found[0, 0] * np.sqrt(2.0 / 400), rtol=1e-7)
    else:
        np.testing.assert_array_equal(np.diag(found), 1.0)
        np.testing.assert_array_equal(result.bse[[0, 4, 8]], 0.0)
        assert result.is_fixed[[0, 4, 8]].all()
        assert np.isnan(result.zvalues[[0, 4, 8]]).all()
        density = scipy_stats.multivariate_normal(np.zeros(3), found).logpdf(draws).sum()
        np.testing.assert_allclose(density + 600 * np.log(2 * np.pi), result.llf, rtol=1e-10)


def test_ordered_means_of_a_mixture_keep_their_order() -> None:
    data = np.concatenate([RNG.normal(-2.0, 1.0, 150), RNG.normal(3.0, 1.0, 150)])

    def loglik(means: Any, share: Any) -> Any:
        a, b = (norm.logpdf(data, means[i], 1.0) for i in range(2))
        return np.logaddexp(np.log(share) + a, np.log1p(-share) + b).sum()

    result = fit(
        loglik,
        {"means": np.array([0.0, 0.1]), "share": 0.3},
        transforms={"means": ordered, "share": unit},
    )
    assert result.converged
    assert result.params["means"][0] < result.params["means"][1]
    np.testing.assert_allclose(result.x, [-2.0, 3.0, 0.5], atol=0.4)


def test_effects_that_sum_to_zero_are_those_of_dummy_coding() -> None:
    group = RNG.integers(0, 4, size=300)

    def loglik(level: Any, effect: Any) -> Any:
        return norm.logpdf(X, level + effect[group], 3.0).sum()

    result = fit(loglik, {"level": 0.0, "effect": np.zeros(4)}, transforms={"effect": sum_to_zero})
    means = np.array([X[group == i].mean() for i in range(4)])
    np.testing.assert_allclose(result.params["level"], means.mean(), rtol=1e-9)
    np.testing.assert_allclose(result.params["effect"], means - means.mean(), rtol=1e-8)
    variances = 9.0 / np.bincount(group)
    np.testing.assert_allclose(result.bse[0], np.sqrt(variances.sum()) / 4.0, rtol=1e-9)


def test_a_proportion_at_the_edge_is_no_maximum() -> None:
    heads = np.ones(20)
    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match=r"logit\(p\)"):
        result = fit(lambda p: bernoulli.logpmf(heads, p).sum(), {"p": 0.5}, transforms={"p": unit})
    assert not result.converged


def test_the_tape_shows_both_coordinates_and_the_users_lines() -> None:
    result = fit(normal, START, transforms={"sigma": positive})
    assert result._model is not None
    listing = str(result._model.function)
    assert "normal(mu, log(sigma))" in listing
    assert "test_transforms.py" in listing


def test_a_traced_function_takes_transforms() -> None:
    traced = trace(normal, START)
    result = fit(traced, START, transforms={"sigma": positive})
    np.testing.assert_allclose(result.x, [X.mean(), X.std()], rtol=1e-9)


def test_intervals_are_transformed_where_there_is_one_coordinate() -> None:
    space = make_space(
        {"a": 1.0, "b": np.array([0.5, 0.5]), "c": 2.0, "d": 3.0},
        "x",
        {"a": positive, "b": simplex, "c": upper(4.0)},
        fixed="d",
    )
    ends = space.interval(np.array([-1.0, 0.0, -1.0]), np.array([np.inf, 0.0, 1.0]))
    np.testing.assert_allclose(ends[0], [np.exp(-1.0), np.inf])
    assert np.isnan(ends[1:3]).all()
    np.testing.assert_allclose(ends[3], [4.0 - np.e, 4.0 - np.exp(-1.0)])
    assert ends[4].tolist() == [3.0, 3.0]
    assert space.coordinate.tolist() == [0, -1, -1, 2, -1]


# Fixed and tied ---------------------------------------------------------------------------------------------

DESIGN = np.column_stack([np.ones(300), RNG.normal(size=(300, 2))])


def regression(beta: Any, sigma: Any) -> Any:
    return norm.logpdf(X, DESIGN @ beta, sigma).sum()


BETA = {"beta": np.zeros(3), "sigma": 1.0}


def test_what_is_fixed_keeps_its_value_and_has_no_error() -> None:
    result = fit(normal, START, fixed={"mu": 2.0}, transforms={"sigma": positive})
    sd = np.sqrt(np.mean((X - 2.0) ** 2))
    assert result.x[0] == 2.0
    assert result.bse[0] == 0.0
    np.testing.assert_allclose(result.x[1], sd, rtol=1e-9)
    np.testing.assert_allclose(result.bse[1], sd / np.sqrt(600), rtol=1e-8)
    assert fit(normal, {"mu": 2.0, "sigma": 1.0}, fixed="mu").x[0] == 2.0
    assert fit(normal, {"mu": 2.0, "sigma": 1.0}, fixed=["mu"]).x[0] == 2.0
    at_edge = fit(
        lambda mu, s: normal(mu, 1.0 + s), {"mu": 0.0, "s": 1.0}, fixed={"s": 0.0}, transforms={"s": positive}
    )
    assert at_edge.params["s"] == 0.0  # a fixed value may lie on the edge


def test_a_fixed_element_is_a_column_left_out() -> None:
    result = fit(regression, BETA, fixed=["beta[2]"], transforms={"sigma": positive})
    short = fit(
        lambda beta, sigma: norm.logpdf(X, DESIGN[:, :2] @ beta, sigma).sum(),
        {"beta": np.zeros(2), "sigma": 1.0},
    )
    np.testing.assert_allclose(result.x[[0, 1, 3]], short.x, rtol=1e-9)
    np.testing.assert_allclose(result.bse[[0, 1, 3]], short.bse, rtol=1e-8)
    assert result.params["beta"][2] == 0.0
    assert result._model is not None
    assert result._model.space.free_names == ("beta[0]", "beta[1]", "log(sigma)")


def test_tied_elements_are_a_sum_of_columns() -> None:
    result = fit(regression, BETA, tie=[("beta[1]", "beta[2]")])
    summed = np.column_stack([DESIGN[:, 0], DESIGN[:, 1] + DESIGN[:, 2]])
    short = fit(
        lambda beta, sigma: norm.logpdf(X, summed @ beta, sigma).sum(), {"beta": np.zeros(2), "sigma": 1.0}
    )
    np.testing.assert_allclose(result.x[[0, 1, 3]], short.x, rtol=1e-9)
    assert result.x[1] == result.x[2]
    np.testing.assert_allclose(result.bse[[0, 1, 3]], short.bse, rtol=1e-8)
    assert result.bse[1] == result.bse[2]


def test_tied_parameters_of_every_kind() -> None:
    space = make_space(
        {"a": 1.0, "b": np.array([0.2, 1.0, 0.5]), "c": np.array([0.2, 0.3, 0.4]), "d": 1.0},
        "x",
        tie=[("a", "b[1]"), ("b[0]", "c[0]")],
        fixed={"c[1]": 7.0},
    )
    natural = space.natural(np.array([10.0, 20.0, 30.0, 40.0, 50.0]))
    assert natural.tolist() == [10.0, 20.0, 10.0, 30.0, 20.0, 7.0, 40.0, 50.0]
    assert space.free_names == ("a", "b[0]", "b[2]", "c[2]", "d")
    tied_simplexes = make_space(
        {"p": np.array([0.2, 0.8]), "q": np.array([0.2, 0.8])},
        "x",
        {"p": simplex, "q": simplex},
        tie=[("p", "q")],
    )
    assert tied_simplexes.start.size == 1
    np.testing.assert_allclose(tied_simplexes.natural(tied_simplexes.start), [0.2, 0.8, 0.2, 0.8])
    fixed_with = make_space({"a": 1.0, "b": 1.0, "c": 1.0}, "x", tie=[("a", "b")], fixed={"b": 4.0})
    assert fixed_with.natural(np.array([9.0])).tolist() == [4.0, 4.0, 9.0]


def refused(**options: Any) -> FitResult:
    start = {"mu": 0.5, "sigma": 1.0, "p": np.array([0.5, 0.5]), "b": np.array([0.5, 2.0])}
    return fit(lambda mu, sigma, p, b: -(mu**2) - sigma**2 - (p**2).sum() - (b**2).sum(), start, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transforms": {"tau": positive}}, "transforms for tau: the parameters are mu, sigma, p, b"),
        ({"transforms": positive}, r"say which parameter the transform is for: dict\(mu=positive\)"),
        ({"transforms": {"mu": upper(0.1)}}, r"mu must be less than 0.1 \(upper\(0.1\)\), not 0.5"),
        ({"fixed": "tau"}, "fixed: no parameter 'tau'; there are mu, sigma, p, b, p"),
        (
            {"fixed": "p[0]", "transforms": {"p": simplex}},
            r"p\[0\] is part of p, .* \(simplex\); name p instead",
        ),
        ({"fixed": {"p": np.ones(3)}}, "fixed: p needs 2 finite numbers"),
        ({"fixed": {"mu": np.nan}}, "fixed: mu needs a finite number, not nan"),
        ({"fixed": {"mu": "a"}}, "fixed: mu needs a finite number, not 'a'"),
        ({"fixed": ["mu", "sigma", "p", "b"]}, "every parameter is fixed"),
        ({"tie": [("mu", "sigma")]}, "start at different values"),
        ({"tie": [("mu", "p")]}, "different shapes"),
        ({"tie": [("mu", "p[0]")], "transforms": {"p": unit}}, "different transforms, identity and unit"),
        ({"tie": [("mu", "p[0]"), ("b[0]", "mu")]}, "mu is in two groups"),
        ({"tie": ["mu"]}, "tie is a list of groups of names"),
        ({"tie": [("mu",)]}, "tie is a list of groups of names"),
    ],
)
def test_arguments_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refused(**options)


def test_a_transform_that_is_none() -> None:
    with pytest.raises(TypeError, match=r"must be one of tapegrad\.mle\.transforms, such as positive"):
        refused(transforms={"mu": np.exp})


def test_names_that_clash() -> None:
    with pytest.raises(ValueError, match=r"two parameters are called a\.b"):
        fit(lambda **theta: -(theta["a"]["b"] ** 2) - theta["a.b"] ** 2, {"a": {"b": 1.0}, "a.b": 1.0})
    with pytest.raises(ValueError, match=r"two free coordinates are called log\(a\)"):
        fit(
            lambda **theta: -(theta["a"] ** 2) - theta["log(a)"] ** 2,
            {"a": 1.0, "log(a)": 1.0},
            transforms={"a": positive},
        )
    with pytest.raises(ValueError, match="mu is the name of a parameter and of data"):
        fit(lambda mu, **data: -(mu**2), {"mu": 1.0}, data={"mu": X})


def test_transforms_print_as_they_are_written() -> None:
    assert "interval(2, 5)" in repr(interval(2.0, 5.0))
    assert interval(2.0, 5.0) == interval(2.0, 5.0) != interval(2.0, 6.0)
    assert identity.label.format("a") == "a"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lower(1.0).to_free(np.array(2.0), "a") == 0.0


def test_parameters_of_any_nesting() -> None:
    def nested(groups: Any, rest: Any) -> Any:
        low, high = groups
        return norm.logpdf(X[:150], low["mu"], low["sigma"]).sum() + norm.logpdf(X[150:], high, rest[0]).sum()

    start = {"groups": [{"mu": 0.0, "sigma": 1.0}, 0.5], "rest": (np.array(1.0),)}
    result = fit(nested, start, transforms={"groups[0].sigma": positive, "rest[0]": lower(0.1)}, tie=[])
    assert result.names == ("groups[0].mu", "groups[0].sigma", "groups[1]", "rest[0]")
    expected = [X[:150].mean(), X[:150].std(), X[150:].mean(), X[150:].std()]
    np.testing.assert_allclose(result.x, expected, rtol=1e-8)
    assert isinstance(result.params["rest"], tuple)
    fixed = fit(nested, start, transforms={"groups[0].sigma": positive}, fixed={"groups[1]": 2.0})
    assert fixed.params["groups"][1] == 2.0


def test_a_vector_alone() -> None:
    def loglik(theta: Any) -> Any:
        return norm.logpdf(X, np.log(theta[0]), theta[1]).sum()

    result = fit(loglik, np.array([1.0, 1.0]), transforms=positive)
    np.testing.assert_allclose(result.params, [np.exp(X.mean()), X.std()], rtol=1e-8)
    assert result.names == ("theta[0]", "theta[1]")
    held = fit(loglik, [1.0, 1.0], transforms={"theta[1]": positive, "theta[0]": positive}, fixed="theta[0]")
    assert held.params[0] == 1.0


def test_branches_under_transforms_are_followed() -> None:
    # Huber's loss by branches: the tape in free coordinates is traced again as they change.
    data = np.array([0.5, 0.1, 0.2, 0.4, 0.9, 7.0])

    def branching(mu: Any) -> Any:
        total = 0.0
        for x in data:
            r = x - mu
            total = total - (0.5 * r * r if abs(r) < 1.0 else abs(r) - 0.5)
        return total

    plain = fit(branching, 4.0)
    result = fit(branching, 4.0, transforms=positive)
    np.testing.assert_allclose(result.params, plain.params, rtol=1e-8)
    np.testing.assert_allclose(result.bse, plain.bse, rtol=1e-6)
    assert result._model is not None
    assert result._model.function.retraces > 0
    traced = fit(trace(branching, 4.0), 4.0, transforms=positive)
    np.testing.assert_allclose(traced.params, plain.params, rtol=1e-8)


# Any combination --------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[Transform, Any]] = {
    "free": (identity, np.array([0.3, -2.0])),
    "rate": (positive, 0.7),
    "rates": (positive, np.array([0.7, 0.7])),
    "share": (unit, 0.25),
    "below": (upper(3.0), np.array([[2.0, -1.0]])),
    "simplex": (simplex, np.array([0.2, 0.5, 0.3])),
    "again": (simplex, np.array([0.2, 0.5, 0.3])),
    "cuts": (ordered, np.array([-1.0, 0.5, 0.6])),
    "matrix": (positive_definite, S),
    "effects": (sum_to_zero, np.array([1.0, -3.0, 2.0])),
}
FIXABLE = ("free[1]", "rate", "rates[0]", "share", "below", "simplex", "again", "cuts", "matrix", "effects")
TIES = (("rate", "rates[1]"), ("simplex", "again"))


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6, unique=True),
    fixed=st.sets(st.sampled_from(FIXABLE)),
    ties=st.sets(st.sampled_from(TIES)),
    seed=st.integers(0, 1000),
)
def test_any_combination_is_consistent(
    names: list[str], fixed: set[str], ties: set[tuple[str, str]], seed: int
) -> None:
    params = {name: KINDS[name][1] for name in names}
    held = [name for name in fixed if name.split("[")[0] in names]
    groups = [group for group in ties if all(name.split("[")[0] in names for name in group)]
    try:
        space = make_space(params, "x", {name: KINDS[name][0] for name in names}, held, groups)
    except ValueError as error:
        if "every parameter is fixed" not in str(error):
            raise
        return
    np.testing.assert_allclose(space.natural(space.start), space.values, rtol=1e-9, atol=1e-12)
    free = space.start + 0.3 * np.random.default_rng(seed).normal(size=space.start.size)
    natural = space.natural(free)
    np.testing.assert_allclose(space.free(natural), free, rtol=1e-6, atol=1e-7)
    jacobian = space.jacobian(free)
    assert jacobian.shape == (len(space.names), len(space.free_names))
    np.testing.assert_array_equal(natural[space.fixed], space.values[space.fixed])
    np.testing.assert_array_equal(jacobian[space.fixed], 0.0)
    for first, second in groups:
        a, b = (
            [i for i, n in enumerate(space.names) if n == name or n.startswith(f"{name}[")]
            for name in (first, second)
        )
        np.testing.assert_array_equal(natural[a], natural[b])
    for i, coordinate in enumerate(space.coordinate):
        if coordinate >= 0:  # it depends on that coordinate alone, and rises with it
            assert np.flatnonzero(jacobian[i]).tolist() == [coordinate]
            assert jacobian[i, coordinate] > 0.0


# A list of start values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transforms": {"mu": positive}}, r"transforms for mu: the parameters are mu\[0\], mu\[1\]\."),
        ({"transforms": positive}, r"transform is for: {'mu\[0\]': positive}\."),
    ],
)
def test_a_list_is_several_parameters(options: dict[str, Any], message: str) -> None:
    def loglik(mu: Any) -> Any:
        return -((mu[0] - 2.0) ** 2) - (mu[1] - 3.0) ** 2

    hint = r" mu holds several: start with an array, np\.array\(\[\.\.\.\]\), which is one parameter"
    with pytest.raises(ValueError, match=message + hint):
        fit(loglik, [1.0, 1.0], **options)
    assert fit(loglik, np.ones(2), **options).names == ("mu[0]", "mu[1]")  # what the message says
    one = {"transforms": {"mu[0]": positive}} if "transforms" in options else {"fixed": "mu[0]"}
    assert fit(loglik, [1.0, 1.0], **one).names == ("mu[0]", "mu[1]")


def test_a_list_that_is_to_be_fixed() -> None:
    with pytest.raises(ValueError, match=r"no parameter 'mu'; there are a, mu\[0\], .* mu holds several"):
        fit(lambda a, mu: -(a**2) - (mu[0] - mu[1]) ** 2, {"a": 1.0, "mu": [1.0, 1.0]}, fixed="mu")


def test_an_unknown_name_is_no_list() -> None:
    with pytest.raises(ValueError, match=r"transforms for nu: the parameters are mu\[0\], mu\[1\]$"):
        fit(lambda mu: -(mu[0] ** 2) - mu[1] ** 2, [1.0, 1.0], transforms={"nu": positive})
