"""What goes in pieces beyond sums over rows: decisions, extremes, groups, matrices; and what does not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.errors import TraceError
from tapegrad.pieces import shard
from tapegrad.pieces.rows import LocalRows
from tapegrad.plan.split import Combined, split

N = 5_003
RNG = np.random.default_rng(5)
LATE = np.linspace(-1.0, 1.0, N)  # the first rows, which are traced on, decide otherwise than all
ALL = dict(
    X=RNG.normal(size=(N, 3)) + LATE[:, None],
    y=RNG.normal(size=N) * (1.5 + LATE),
    g=np.where(LATE < 0.0, RNG.integers(0, 3, N), RNG.integers(0, 6, N)),
    T=np.eye(2) + np.einsum("ni,nj->nij", *(RNG.normal(size=(2, N, 2)))) ** 2,
)
THETA = np.array([0.3, -0.2, 0.5])


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name, array in ALL.items():
        np.save(folder / f"{name}.npy", array)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ALL}


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(shard, "UNIT", 128)
    monkeypatch.setattr(LocalRows.__init__, "__defaults__", (1_100, None))


def same(model, data, backend="numpy", points=(THETA, THETA * 1.3)):
    """The traced function of the data in pieces, which gives what the arrays in memory give."""
    memory = tg.trace(model, dict(b=THETA), data=ALL, backend="replay", sufficient_statistics=False)
    pieces = tg.trace(model, dict(b=THETA), data=data, backend=backend)
    for theta in points:
        value, slope = memory.value_and_grad_flat(theta)
        found, gradient = pieces.value_and_grad_flat(theta)
        assert found == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-12 * np.abs(slope).max())
        second = memory.hessian_flat(theta)
        atol = 1e-12 * max(1.0, np.abs(second).max())
        np.testing.assert_allclose(pieces.hessian_flat(theta), second, rtol=1e-11, atol=atol)
    return pieces


# Decisions --------------------------------------------------------------------------------------------------


def by_a_mean(b, X, y, g, T):
    return (y * b[0]).sum() if X.mean() > -0.2 else (y * b[1]).sum()


def by_an_extreme_of_rows_and_parameters(b, X, y, g, T):
    eta = X @ b
    return (
        -np.inf
        if (eta > 30.0).any()
        else np.logaddexp(eta - eta.max(), b[0] if eta.max() > 1.8 else 0.0).sum()
    )


def by_a_largest_number(b, X, y, g, T):
    return sum(np.where(g == k, y * b[k % 3], 0.0).mean() * (k + 1.0) for k in range(int(g.max()) + 1))


def by_a_count(b, X, y, g, T):
    positive = int((y > 0.0).sum())
    return np.exp(b[0]) * positive + b[1] * y.sum()


def until_it_is_small(b, X, y, g, T):
    shift, steps = 0.0, 0
    while (np.tanh(X[:, 0] - shift)).mean() > 0.01 * b[2] and steps < 5:
        shift, steps = shift + 0.03 * np.exp(b[0]), steps + 1
    return ((y - shift * b[1]) ** 2).mean()


@pytest.mark.parametrize(
    "model",
    [by_a_mean, by_an_extreme_of_rows_and_parameters, by_a_largest_number, by_a_count, until_it_is_small],
)
def test_decisions_fall_as_all_rows_say(model, on_disk):
    """Those that are traced on decide otherwise: their branch was taken, and gave a wrong number."""
    assert same(model, on_disk).retraces >= 1


def test_a_path_of_all_rows_is_found_again(on_disk):
    traced = tg.trace(by_a_mean, dict(b=THETA), data=on_disk)
    for theta in (THETA, 2.0 * THETA, 3.0 * THETA):
        traced.value_and_grad_flat(theta)
    assert traced.retraces == 1


# Extremes ---------------------------------------------------------------------------------------------------


def of_a_row_that_is_largest(b, X, y, g, T):
    m = X * b
    last = (m.sum(axis=1) / 3.0) @ np.ones(len(y)) / len(y)
    return m.mean(axis=-1).min() + np.logaddexp(m.mean(axis=1), y).max() * b[0] + last


@pytest.mark.parametrize("backend", ["numpy", "replay"])
def test_an_extreme_is_found_among_rows_that_are_computed_again(backend, on_disk):
    """In the last bit they may differ from those that it was taken of, and no slope was left then."""
    traced = same(of_a_row_that_is_largest, on_disk, backend)
    assert np.abs(traced.value_and_grad_flat(THETA)[1]).min() > 0.0
    data = {name: array[:1_009] for name, array in ALL.items()}
    tape = tg.trace(of_a_row_that_is_largest, dict(b=THETA), data=data, sufficient_statistics=False).grad_tape
    exact = [each.is_exact for each in split(tape, 1_009).rounds]
    assert exact.count(True) >= 2


def test_an_extreme_of_data_alone_needs_no_such_care(on_disk):
    def model(b, X, y, g, T):
        return ((y - y.max()) * b[0]).sum() + b @ b

    data = {name: array[:1_009] for name, array in ALL.items()}
    tape = tg.trace(model, dict(b=THETA), data=data, sufficient_statistics=False).grad_tape
    assert not any(each.is_exact for each in split(tape, 1_009).rounds)
    same(model, on_disk)


# What does the same to each row -----------------------------------------------------------------------------


def logit(b, X, y, g, T):
    """A multinomial logit as people write it: the chosen one of four alternatives."""
    utility = np.zeros((len(y), 4))
    utility[:, 1] = b[0] + b[1] * X[:, 0]
    utility[:, 2:] = b[2] * X[:, 1:]
    logp = utility - special.logsumexp(utility, axis=1, keepdims=True)
    return logp[np.arange(len(y)), g % 4].sum()


def taken_along(b, X, y, g, T):
    return np.take_along_axis(np.tanh(X * b), (g % 3)[:, None], axis=1).sum()


def ordered(b, X, y, g, T):
    steps = np.cumsum(np.exp(X * b), axis=1)
    return np.log(steps).mean() + np.sort(X * b, axis=1)[:, 1].sum() + np.prod(np.tanh(X * b), axis=1).sum()


def of_matrices(b, X, y, g, T):
    scaled = T * np.exp(b[0]) + b[1] ** 2 * np.eye(2)
    solved = np.linalg.solve(scaled, X[:, :2, None])
    return (
        -0.5 * np.linalg.slogdet(scaled)[1].sum()
        - 0.5 * (X[:, None, :2] @ solved).sum()
        + (scaled @ b[:2]).sum()
    )


def of_sums_of_products(b, X, y, g, T):
    weights = special.expit(X @ b)
    gram = X.T @ (weights[:, None] * X) + np.einsum("ni,nj,n->ij", X, X, y**2)
    return np.linalg.slogdet(gram)[1] + np.vstack([y, X[:, 0] * b[0]])[1] @ y / len(y)


def by_groups(b, X, y, g, T):
    residuals = y - X @ b
    totals = np.zeros(6) + 0.0 * b[0]
    np.add.at(totals, g, residuals)
    means = np.bincount(g, weights=residuals, minlength=6) / np.bincount(g, minlength=6)
    return -((residuals - means[g]) ** 2).mean() + (totals**2).sum() / len(y) ** 1 / N


def of_exponentials(b, X, y, g, T):
    return special.logsumexp(X @ b) - special.log_softmax(X * b, axis=0)[:, 0].mean() * 1e-2


def of_powers_of_the_number_of_rows(b, X, y, g, T):
    residuals = y - X @ (X.T @ np.full(len(y), b[0])) / len(y) ** 1 / X.size
    return (residuals**2).mean() / len(y) + np.cov(X * b, rowvar=False)[0, 1] + X.mean() / len(y) * b[1]


def of_the_same_for_each_row(b, X, y, g, T):
    design = np.ones((len(y), 3)) * np.array([1.0, 0.5, 2.0])
    return ((design @ b) ** 2).mean() * b[0] + (np.tile([[1.0, 2.0, 3.0]], (len(y), 1)) * X * b).mean()


def of_no_column(b, X, y, g, T):
    return (np.ones(len(y)) * np.exp(b[0])).sum() + (y * b[1]).sum()


WITH_ROWS = [
    logit,
    taken_along,
    ordered,
    of_matrices,
    of_sums_of_products,
    by_groups,
    of_exponentials,
    of_powers_of_the_number_of_rows,
    of_the_same_for_each_row,
    of_no_column,
]


@pytest.mark.parametrize("model", WITH_ROWS)
def test_what_does_the_same_to_each_row_goes_in_pieces(model, on_disk):
    same(model, on_disk)


def test_a_plain_table_is_looked_up_where_it_is_passed_as_data(on_disk):
    def model(b, X, y, g, T, table):
        return (table[g % 3] @ b * y).sum()

    table = np.arange(9.0).reshape(3, 3)
    memory, disk = (tg.trace(model, dict(b=THETA), data={**data, "table": table}) for data in (ALL, on_disk))
    expected = (table[ALL["g"] % 3] @ THETA * ALL["y"]).sum()
    assert disk(dict(b=THETA)) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(disk.grad(dict(b=THETA))["b"], memory.grad(dict(b=THETA))["b"], rtol=1e-12)


def test_log_sum_exp_is_combined_as_such():
    traced = tg.trace(lambda b, X: special.logsumexp(X @ b), dict(b=THETA), data=dict(X=ALL["X"]))
    (one,) = split(traced.tape, N).rounds
    assert one.how == (Combined.LOGSUMEXP,)


# What does not ----------------------------------------------------------------------------------------------


def numbered_and_taken(b, X, y, g, T):
    places = np.arange(len(y))
    return (X[places, g % 3] * b[0]).sum() + (places * y * b[1]).sum()


def other_rows(b, X, y, g, T):
    return (X[np.arange(len(y)) - 1, g % 3] * b[0]).sum()


def backwards(b, X, y, g, T):
    return (X[::-1, 0] * y * b[0]).sum()


def along_the_rows(b, X, y, g, T):
    return (np.cumsum(X * b, axis=0)[:, 0] * y).sum()


def first_rows(b, X, y, g, T):
    return (y[:100] * b[0]).sum() + y[0]


def filtered(b, X, y, g, T):
    return (y[y > 0.0] * b[0]).sum()


def looked_up_in_a_plain_table(b, X, y, g, T):
    return (np.eye(3)[g % 3] @ b * y).sum()


def one_by_one(b, X, y, g, T):
    total = 0.0
    for each in y:
        total = total + each * b[0]
    return total


def a_row(b, X, y, g, T):
    return X[np.argmax(y)] @ b


def last_one_wins(b, X, y, g, T):
    table = np.zeros(6) + 0.0 * b[0]
    table[g] = y * b[0]
    return table.sum()


@pytest.mark.parametrize(
    "model",
    [
        numbered_and_taken,
        other_rows,
        backwards,
        along_the_rows,
        first_rows,
        filtered,
        looked_up_in_a_plain_table,
        one_by_one,
        a_row,
        last_one_wins,
    ],
)
def test_what_looks_at_other_rows_is_refused_with_its_line(model, on_disk):
    with pytest.raises(TraceError) as raised:
        tg.trace(model, dict(b=THETA), data=on_disk).grad(dict(b=THETA))
    first = model.__code__.co_firstlineno
    (line,) = re.findall(r"test_more_in_pieces\.py:(\d+)", str(raised.value))
    assert first < int(line) <= first + 6
