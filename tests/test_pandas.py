"""pandas objects that meet traced values: what they cost, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.stats import poisson

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["a", "b", "c"])
COUNTS = pd.Series(RNG.poisson(2.0, size=200), name="visits")
MIXED = pd.DataFrame({"x": RNG.normal(size=200), "treated": np.arange(200) % 2 == 0, "n": np.arange(200)})
START = np.array([0.5, 0.2, -0.1])

# Each with what it is in NumPy.
FORMS = {
    "frame @ b": (lambda b: FRAME @ b, lambda b: FRAME.to_numpy() @ b),
    "frame.dot": (lambda b: FRAME.dot(b), lambda b: FRAME.to_numpy() @ b),
    "np.dot": (lambda b: np.dot(FRAME, b), lambda b: FRAME.to_numpy() @ b),
    "np.matmul": (lambda b: np.matmul(FRAME, b), lambda b: FRAME.to_numpy() @ b),
    "a matrix": (lambda b: FRAME @ np.outer(b, b), lambda b: FRAME.to_numpy() @ np.outer(b, b)),
    "mixed columns": (lambda b: MIXED @ b, lambda b: MIXED.to_numpy(float) @ b),
    "series @ v": (
        lambda b: COUNTS @ (FRAME.to_numpy() @ b),
        lambda b: COUNTS.to_numpy() @ (FRAME.to_numpy() @ b),
    ),
    "series.dot": (lambda b: COUNTS.dot(FRAME @ b), lambda b: COUNTS.to_numpy() @ (FRAME.to_numpy() @ b)),
    "v @ series": (lambda b: (FRAME @ b) @ COUNTS, lambda b: (FRAME.to_numpy() @ b) @ COUNTS.to_numpy()),
    "b @ frame": (lambda b: b @ FRAME.T, lambda b: b @ FRAME.to_numpy().T),
    "series - v": (lambda b: COUNTS - FRAME @ b, lambda b: COUNTS.to_numpy() - FRAME.to_numpy() @ b),
    "frame * b": (lambda b: FRAME * b, lambda b: FRAME.to_numpy() * b),
    "columns": (
        lambda b: FRAME["a"] * b[0] + FRAME["b"] * b[1],
        lambda b: FRAME["a"].to_numpy() * b[0] + FRAME["b"].to_numpy() * b[1],
    ),
    "ufunc": (
        lambda b: np.logaddexp(FRAME["a"], FRAME @ b),
        lambda b: np.logaddexp(FRAME["a"].to_numpy(), FRAME.to_numpy() @ b),
    ),
    "special": (
        lambda b: special.xlogy(COUNTS, np.exp(FRAME @ b)),
        lambda b: special.xlogy(COUNTS.to_numpy(), np.exp(FRAME.to_numpy() @ b)),
    ),
    "where": (
        lambda b: np.where(FRAME["a"] > 0.0, FRAME @ b, 0.0),
        lambda b: np.where(FRAME["a"].to_numpy() > 0.0, FRAME.to_numpy() @ b, 0.0),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_pandas_object_costs_what_an_array_costs(name):
    with_pandas, with_numpy = FORMS[name]
    tape, other = (tg.trace(f, START) for f in (with_pandas, with_numpy))
    assert [entry.op.name for entry in tape.tape.entries] == [entry.op.name for entry in other.tape.entries]
    np.testing.assert_allclose(tape(2.0 * START), with_numpy(2.0 * START), rtol=1e-13)


def test_a_poisson_regression_on_a_frame():
    tape = tg.trace(lambda b: poisson.logpmf(COUNTS, np.exp(FRAME @ b)).sum(), START)
    assert len(tape.tape.entries) < 12
    eta = FRAME.to_numpy() @ START
    np.testing.assert_allclose(
        tape.grad(START), FRAME.to_numpy().T @ (COUNTS.to_numpy() - np.exp(eta)), rtol=1e-12
    )


def test_pandas_is_as_it_was_after_a_trace():
    def code():
        return pd.DataFrame.dot.__code__, pd.Series.dot.__code__

    before = code()
    inside = []

    def f(b):
        inside.append(code())
        assert (FRAME @ np.ones(3)).shape == (200,)
        if len(inside) == 1:
            tg.trace(lambda b: (FRAME @ b).sum(), START)
            inside.append(code())
        return (FRAME @ b).sum()

    tg.trace(f, START)
    assert inside[0] == inside[1] != before
    assert code() == before
    with pytest.raises(ZeroDivisionError):
        tg.trace(lambda b: 1 / 0, START)
    assert code() == before


# What means something else ----------------------------------------------------------------------------------


def refused(f, start=1.5):
    with pytest.raises(tg.ReplayError) as caught:
        tg.trace(f, start)
    told = str(caught.value)
    assert "a pandas object becomes an array where it meets a traced value" in told
    assert "andom" not in told
    return told


def test_missing_values_are_named_with_their_column():
    y = pd.Series([1.0, 2.0, np.nan])
    assert "the Series y holds 1 missing value, which pandas skips" in refused(lambda a: (y * a).sum())
    assert "np.nansum" in refused(lambda a: (y * a).sum())
    frame = pd.DataFrame({"u": [1.0, np.nan, np.nan], "w": [1.0, 2.0, 3.0]})
    told = refused(lambda a: (frame["u"] * a + frame["w"]).sum())
    assert "column 'u' holds 2 missing values" in told
    assert "'w'" not in told
    assert "column 'u' holds 2 missing values" in refused(lambda a: (frame * a).mean(axis=0).sum())
    nullable = pd.Series([1.0, None, 3.0], dtype="Float64", name="dose")
    assert "column 'dose' holds 1 missing value" in refused(lambda a: float_sum(nullable * a))


def float_sum(x):
    return x.sum()


def test_missing_values_that_are_minded_are_fine():
    y = pd.Series([1.0, 2.0, np.nan])
    assert tg.trace(lambda a: np.nansum(y * a), 1.5)(2.0) == 6.0
    assert tg.trace(lambda a: (y.dropna() * a).sum(), 1.5)(2.0) == 6.0


def test_standard_deviations_divide_by_n():
    y = pd.Series([1.0, 2.0, 4.0])
    assert "std and var divide by n" in refused(lambda a: (y * a).std())
    assert tg.trace(lambda a: (y * a).std(ddof=1), 1.5)(1.0) == pytest.approx(y.std(), rel=1e-15)


def test_indices_do_not_align():
    y, z = pd.Series([1.0, 2.0, 4.0]), pd.Series([1.0, 2.0, 4.0], index=[2, 1, 0])
    assert "go by position and not by index" in refused(lambda a: (y * a * (z * a)).sum())


def test_sums_of_frames():
    assert ".sum(axis=0)" in refused(lambda b: (FRAME * b).sum(), START)


@pytest.mark.parametrize(
    ("f", "advice"),
    [
        (lambda a: (FRAME["a"] * a).groupby(COUNTS).sum().sum(), "np.bincount"),
        (lambda a: (FRAME["a"] * a).fillna(0.0).sum(), "or do this before"),
    ],
)
def test_methods_of_pandas_on_what_is_an_array(f, advice):
    with pytest.raises(tg.TraceError, match="a pandas object becomes an array") as caught:
        tg.trace(f, 1.5)
    assert advice in str(caught.value)


def test_a_series_is_not_written_to():
    def f(a):
        y = FRAME["a"].copy()
        y *= a
        return y.sum()

    with pytest.raises(tg.TraceError, match=r"write y = y \* a for y \*= a"):
        tg.trace(f, 1.5)
