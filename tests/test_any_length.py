"""Functions of data in pieces are held against the number of rows that there are."""

import re
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import TraceError
from tapegrad.recording.posing import Posing

N = 50_000
RNG = np.random.default_rng(31)
ALL = dict(X=RNG.normal(size=(N, 3)), y=RNG.normal(size=N))
THETA = np.array([0.2, 0.3, 0.1])


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name, array in ALL.items():
        np.save(folder / f"{name}.npy", array)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ALL}


# What decides by the number of rows -------------------------------------------------------------------------


def by_length(b, X, y):
    return (y * b[0]).sum() if len(y) < 10_000 else (y * b[1]).sum() * 2.0


def by_a_constant(b, X, y):
    return (y * b[0]).sum() * (1.0 if X.shape[0] > 20_000 else 2.0)


def by_size(b, X, y):
    return (y * b[0]).sum() * (1.0 if X.size > 60_000 else 2.0)


def by_numpys_size(b, X, y):
    return (y * b[0]).sum() * (1.0 if np.size(y, axis=0) > 20_000 else 2.0)


def by_numpys_shape(b, X, y):
    return (y * b[0]).sum() * (1.0 if np.shape(X)[0] > 20_000 else 2.0)


def by_bytes(b, X, y):
    return (y * b[0]).sum() * (1.0 if y.nbytes > 160_000 else 2.0)


def by_remainder(b, X, y):
    return (y * b[0]).sum() * (1.0 if len(y) % 2 else 2.0)


def at_most(b, X, y):
    return (y * b[0]).sum() / min(len(y), 5_000)


def at_most_what_is_traced_on(b, X, y):
    return (y * b[0]).sum() / np.minimum(len(y), 1_009)


def in_blocks(b, X, y):
    total = 0.0
    for start in range(0, len(y), 5_000):
        total = total + (y[start : start + 5_000] * b[0]).sum()
    return total


def by_what_is_as_long(b, X, y):
    ones = np.ones(len(y))
    return (ones * y * b[0]).sum() * (2.0 if len(ones) > 20_000 else 1.0)


def by_whole_numbers_as_many(b, X, y):
    ones = np.ones(len(y), dtype=int)
    return (ones * y * b[0]).sum() * (2.0 if ones.size > 20_000 else 1.0)


def by_a_branch_more(b, X, y):
    return (y * b[0]).sum() * (2.0 if len(y) > 20_000 and b[0] > 0.0 else 1.0)


def by_an_error(b, X, y):
    try:
        if len(y) > 20_000:
            raise ValueError
        return (y * b[0]).sum()
    except ValueError:
        return (y * b[1]).sum()


DECIDING = [
    by_length,
    by_a_constant,
    by_size,
    by_numpys_size,
    by_numpys_shape,
    by_bytes,
    by_remainder,
    at_most,
    at_most_what_is_traced_on,
    in_blocks,
    by_what_is_as_long,
    by_whole_numbers_as_many,
    by_a_branch_more,
    by_an_error,
]


@pytest.mark.parametrize("model", DECIDING)
def test_a_decision_between_other_lengths_is_noticed(model, on_disk):
    told = rf"{model.__name__} takes another way with 50,000 rows than with 1,009 at .*test_any_length\.py:"
    with pytest.raises(TraceError, match=told):
        tg.trace(model, dict(b=THETA), data=on_disk)


def test_a_function_that_refuses_so_many_rows(on_disk):
    def careful(b, X, y):
        if len(y) > 20_000:
            raise ValueError("too many")
        return (y * b[0]).sum()

    said = re.escape(
        '`raise ValueError("too many")` where it is told that there are 50,000 rows, and not with'
    )
    with pytest.raises(TraceError, match=f"careful raises ValueError at .*{said} 1,009: too many"):
        tg.trace(careful, dict(b=THETA), data=on_disk)


# What asks for it and does not decide -----------------------------------------------------------------------


def with_a_matrix_of_ones(b, X, y):
    assert X.shape[0] == len(y) == np.ones(len(y)).shape[0] == np.zeros_like(y).size
    design = np.column_stack([np.ones(len(y)), X[:, :2]])
    return -((y - design @ b) ** 2).sum() / len(y)


def filled(b, X, y):
    eta = np.zeros(len(y))
    eta += b[0]
    eta += b[1] * X[:, 1]
    eta = eta.reshape(len(y))
    return (y * eta).sum() + len(eta)


def shaped(b, X, y):
    column = np.ones(len(y)).reshape(len(y), 1) * y.reshape(y.shape[0], 1)
    other = np.broadcast_to(b, (len(y), 3)) * np.broadcast_to(0.5, (len(y), 1))
    third = np.repeat(b[0], len(y)) + np.full(len(y), b[1]) + np.full(y.shape, 0.25)
    indexed = b[np.zeros(len(y), dtype=int)] * np.array([0.5] * len(y))
    return (column * other * X).sum() + (third * indexed * y).sum()


def counted(b, X, y):
    branch = 1.0 if (y**2).sum() / len(y) > 0.5 else 2.0
    by_itself = b[0] * y.std(ddof=1) + b[1] * X[:, 0].var() + b[2] * y.mean()
    return by_itself * branch + len(y) + 1e-10 + 1.0 / len(y) + 3.5 * y.size + (1.0 / X.size) * X.sum() * b[0]


ASKING = [with_a_matrix_of_ones, filled, shaped, counted]


@pytest.mark.parametrize("model", ASKING)
def test_what_asks_for_the_length_and_does_not_decide_goes_through(model, on_disk):
    memory = tg.trace(model, dict(b=THETA), data=ALL, backend="replay")
    disk = tg.trace(model, dict(b=THETA), data=on_disk)
    (value, slope), (found, gradient) = (each.value_and_grad_flat(THETA * 1.1) for each in (memory, disk))
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("axis", [911, 1_008])
def test_another_axis_may_be_as_long_as_the_rows_that_are_traced_on(axis, on_disk):
    weights = np.linspace(0.0, 1.0, axis)
    traced = tg.trace(
        lambda b, X, y, w: (y * b[0]).sum() + (np.ones(len(y)) * b[1]).sum() + (w * b[2]).sum(),
        dict(b=THETA),
        data={**on_disk, "w": weights},
    )
    value = (ALL["y"] * 0.2).sum() + N * 0.3 + weights.sum() * 0.1
    assert traced(dict(b=THETA)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("model", [with_a_matrix_of_ones, filled])
def test_no_array_of_all_rows_is_made(model, tmp_path):
    rows = 100_000_000  # of zeros that take no place on disk
    data = dict(
        X=np.memmap(tmp_path / "X", mode="w+", dtype=float, shape=(rows, 3)),
        y=np.memmap(tmp_path / "y", mode="w+", dtype=float, shape=(rows,)),
    )
    tracemalloc.start()
    try:
        tg.trace(model, dict(b=THETA), data=data)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_shapes_are_told_to_the_users_code_alone():
    posing = Posing(911, 50_000, (), 0)
    own, users = tg.trace.__code__, test_shapes_are_told_to_the_users_code_alone.__code__
    assert posing.shape((911, 3), own) == posing.shape((911, 3), np.stack.__wrapped__.__code__) == (911, 3)
    assert posing.shape((911, 3), users) == (50_000, 3)
    assert posing.taken("full", ((50_000, 2), 50_000.0), {}) == (((911, 2), 50_000.0), {})
    assert posing.taken("full", (True, 2), {}) == ((True, 2), {})
