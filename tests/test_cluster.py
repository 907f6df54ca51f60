"""Data in Dask's chunks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import special

import tapegrad as tg
from benchmarks.scale.cost import simulated
from benchmarks.scale.models import MODELS, in_memory, on_workers, traced
from tapegrad.mle.transforms import positive
from tapegrad.pieces import cluster, shard, workers

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
sizeof = pytest.importorskip("dask.sizeof").sizeof

N = 30_000
RNG = np.random.default_rng(21)
X = RNG.normal(size=(N, 3))
Y = RNG.poisson(np.exp(X @ [0.3, -0.2, 0.1])).astype(float)
START = dict(b=np.zeros(3))
THETA = np.array([0.2, -0.1, 0.3])
UNEVEN = (1_000, 9_000, 3, 12_000, 0, 7_997)


def rows(b, X, y):
    eta = X @ b
    return y * eta - np.exp(eta) - special.gammaln(y + 1.0)


def loglik(b, X, y):
    return rows(b, X, y).sum() - 0.5 * (b @ b) / len(y)


def chunked(chunks=UNEVEN):
    return dict(X=da.from_array(X, chunks=(chunks, 3)), y=da.from_array(Y, chunks=(chunks,)))


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("chunks", [UNEVEN, (30_000,), (15_000, 15_000)], ids=len)
def test_chunks_give_what_arrays_give(chunks):
    memory = tg.trace(loglik, START, data=dict(X=X, y=Y), backend="replay")
    traced = tg.trace(loglik, START, data=chunked(chunks))
    value, slope = memory.value_and_grad_flat(THETA)
    found, gradient = traced.value_and_grad_flat(THETA)
    assert found == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-11)
    np.testing.assert_allclose(traced.hessian_flat(THETA), memory.hessian_flat(THETA), rtol=1e-11)
    assert traced.nobs == N


def test_the_bits_do_not_depend_on_who_computes():
    traced = tg.trace(loglik, START, data=chunked())
    value, slope = traced.value_and_grad_flat(THETA)
    for threads in (1, 2, 3):
        with dask.config.set(scheduler="threads", num_workers=threads):
            other = tg.trace(loglik, START, data=chunked())
            found, gradient = other.value_and_grad_flat(THETA)
        assert found == value
        np.testing.assert_array_equal(gradient, slope)


def test_columns_of_a_dataframe_on_disk(tmp_path):
    frame = pd.DataFrame(dict(a=X[:, 0], y=Y, firm=RNG.choice(["x", "y", "z", "w"], N)))
    for i, part in enumerate(np.array_split(np.arange(N), 3)):
        frame.iloc[part].to_parquet(tmp_path / f"{i}.parquet")
    table = dd.read_parquet(tmp_path)

    def rate(b, a, y):
        eta = b[0] + b[1] * a
        return y * eta - np.exp(eta) - special.gammaln(y + 1.0)

    start = dict(b=np.zeros(2))
    kinds = [("nonrobust", {}), ("HC0", {}), ("cluster", {"groups": "firm"})]
    for kind, keywords in kinds:
        whole, chunks = (
            tg.fit(
                rate,
                start,
                data=dict(a=data["a"], y=data["y"]),
                cov_type=kind,
                cov_kwds={key: data[name] for key, name in keywords.items()},
            )
            for data in (frame, table)
        )
        np.testing.assert_allclose(chunks.x, whole.x, rtol=1e-10)
        np.testing.assert_allclose(chunks.bse, whole.bse, rtol=1e-10)
        assert chunks.nobs == whole.nobs == N


def test_the_bits_do_not_depend_on_where_results_meet(monkeypatch):
    chunks = (1_500,) * 20
    value, slope = tg.trace(loglik, START, data=chunked(chunks)).value_and_grad_flat(THETA)
    monkeypatch.setattr(cluster, "MOST_BYTES", 0)  # in a tree, of which the client sees the last results
    found, gradient = tg.trace(loglik, START, data=chunked(chunks)).value_and_grad_flat(THETA)
    assert found == value
    np.testing.assert_array_equal(gradient, slope)


def test_dask_is_told_how_large_a_piece_is():
    piece = shard.Piece(dict(X=X, y=Y))
    assert sizeof(piece) >= X.nbytes + Y.nbytes
    copied = pickle.loads(pickle.dumps(piece))
    np.testing.assert_array_equal(copied.column("X"), X)


def test_what_depends_on_data_alone_is_computed_once(monkeypatch):
    prepared = []
    original = shard.prepared
    monkeypatch.setattr(shard, "prepared", lambda *args: prepared.append(len(args[1][0])) or original(*args))
    traced = tg.trace(loglik, START, data=chunked())
    for theta in (THETA, 2.0 * THETA, 3.0 * THETA):
        traced.value_and_grad_flat(theta)
    assert [prepared.count(length) for length in UNEVEN] == [1, 1, 1, 1, 0, 1]
    monkeypatch.setattr(workers, "MOST_KEPT_BY_A_WORKER", 1_000)
    other = tg.trace(loglik, START, data=chunked())
    for theta in (THETA, 2.0 * THETA):
        assert other.value_and_grad_flat(theta)[0] == traced.value_and_grad_flat(theta)[0]
    assert [prepared.count(length) for length in UNEVEN] == [3, 3, 3, 3, 0, 3]


def test_profiles_and_transforms_go_through():
    def normal(mu, sigma, y):
        return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma)

    start, transforms = dict(mu=0.5, sigma=2.0), dict(sigma=positive)
    whole, chunks = (
        tg.fit(normal, start, data=dict(y=y), transforms=transforms)
        for y in (Y, da.from_array(Y, chunks=7_000))
    )
    np.testing.assert_allclose(chunks.conf_int(method="profile"), whole.conf_int(method="profile"), rtol=1e-7)
    assert "No. observations: 30000" in str(chunks.summary())


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (
            dict(X=da.from_array(X, chunks=(10_000, 2)), y=Y),
            ValueError,
            r"X is chunked along 2 axes, \(3, 2\)",
        ),
        (
            dict(X=da.from_array(X[:-1], chunks=9_000), y=da.from_array(Y, chunks=9_000)),
            ValueError,
            r"must have the same number of rows: X has 29,999, y has 30,000",
        ),
        (
            dict(X=da.from_array(X, chunks=9_000)[da.from_array(Y, chunks=9_000) > 0], y=Y),
            ValueError,
            r"X have unknown sizes: X.compute_chunk_sizes\(\)",
        ),
        (
            dict(X=X, y=da.from_array(Y.astype(str), chunks=9_000)),
            TypeError,
            "y must be real numbers, not <U",
        ),
        (dict(X=X[:0], y=da.from_array(Y[:0], chunks=9_000)), ValueError, "no data: y, X has no rows"),
    ],
)
def test_data_that_cannot_be_taken(data, error, said):
    with pytest.raises(error, match=said):
        tg.trace(loglik, START, data=data)


def test_arrays_of_other_lengths_are_read_whole_and_the_error_says_so():
    with pytest.raises(ValueError, match="operands could not be broadcast") as raised:
        tg.trace(loglik, START, data=dict(X=X[:-1], y=da.from_array(Y, chunks=9_000)))
    assert raised.value.__notes__ == [
        "the function was traced on the first 1,009 of 30,000 rows of y, and all of X"
    ]


def test_a_function_with_a_state_is_refused():
    calls = []

    def counting(b, X, y):
        calls.append(1)
        return loglik(b, X, y) + len(calls)

    with pytest.raises(tg.ReplayError, match=r"differs from call to call|gives"):
        tg.trace(counting, START, data=chunked())


@pytest.mark.parametrize("name", MODELS)
def test_the_benchmark_makes_the_same_data_in_one_process_and_on_workers(name):
    model = MODELS[name]
    memory, chunks = (make(model, 5_000, 2_000) for make in (in_memory, on_workers))
    assert memory.keys() == chunks.keys()
    for key, array in memory.items():
        np.testing.assert_array_equal(chunks[key].compute(), array)
    start = np.concatenate([np.ravel(value) for value in model.start.values()])
    values = [traced(model, data).value_flat(start) for data in (memory, chunks)]
    assert values[1] == pytest.approx(values[0], rel=1e-13)


def test_a_hundred_workers_are_simulated():
    assert simulated(10.0, 50_000_000, workers=100) == pytest.approx(0.1 + 0.002 * 2)
    assert simulated(1.0, 50_000_000, workers=100) == pytest.approx(0.0005 * 100 + 0.002 * 2)  # the scheduler


def test_weights_are_a_column_more():
    weights = np.where(RNG.random(N) < 0.2, 0.0, 3.0 * RNG.random(N))
    groups = RNG.integers(0, 30, N)
    for kind, keywords, given in [
        ("opg", {}, weights),
        ("HC1", {}, da.from_array(weights, chunks=7_000)),
        ("cluster", dict(groups=groups), dd.from_pandas(pd.Series(weights), npartitions=3)),
    ]:
        options = dict(cov_type=kind, cov_kwds=keywords)
        memory = tg.fit(rows, START, data=dict(X=X, y=Y), weights=weights, **options)
        result = tg.fit(rows, START, data=chunked(), weights=given, **options)
        np.testing.assert_allclose(result.x, memory.x, rtol=1e-9)
        np.testing.assert_allclose(result.bse, memory.bse, rtol=1e-11)
        assert result.nobs == N


def test_leverages_are_found_where_the_rows_are():
    few, chunks = 4_000, (1_500, 3, 0, 2_497)
    weights = np.where(RNG.random(few) < 0.2, 0.0, 3.0 * RNG.random(few))
    data = dict(X=da.from_array(X[:few], chunks=(chunks, 3)), y=da.from_array(Y[:few], chunks=(chunks,)))
    for kind, given in [("HC2", None), ("HC3", weights)]:
        memory, apart = (
            tg.fit(rows, START, data=each, weights=given, cov_type=kind)
            for each in (dict(X=X[:few], y=Y[:few]), data)
        )
        np.testing.assert_allclose(apart.cov_params(), memory.cov_params(), rtol=1e-10, atol=1e-14)
    last = np.where(np.arange(few) == few - 9, 1.0, 0.0)
    data["X"] = da.stack([data["X"][:, 0], da.from_array(last, chunks=(chunks,))], axis=1).rechunk({1: -1})

    def normal(b, X, y):
        return -0.5 * (y - X @ b) ** 2

    with pytest.raises(ValueError, match=r"observation 3991 alone determines a parameter.*leverage is 1"):
        tg.fit(normal, dict(b=np.zeros(2)), data=data, cov_type="HC3")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(N - 1), r"there must be a number for each of 30,000 rows, not \(29999,\)"),
        (np.where(np.arange(N) == N - 5, np.nan, 1.0), "weights must be finite and not negative"),
        (np.where(np.arange(N) == N - 5, np.inf, 1.0), "weights must be finite and not negative"),
        (np.where(np.arange(N) == N - 5, -1.0, 1.0), "weights must be finite and not negative"),
        (np.zeros(N), "not all zero"),
    ],
)
def test_weights_that_cannot_be_used(weights, said):
    with pytest.raises(ValueError, match=said):
        tg.fit(rows, START, data=chunked(), weights=weights)


def test_a_fit_without_a_maximum_is_diagnosed():
    x = X[:2_000, 0]
    y = (x > 0.0).astype(float)

    def logistic(b, x, y):
        return y * (x * b) - np.logaddexp(0.0, x * b)

    with pytest.warns(tg.ConvergenceWarning):
        memory = tg.fit(logistic, dict(b=0.0), data=dict(x=x, y=y))
    with pytest.warns(tg.ConvergenceWarning):
        apart = tg.fit(logistic, dict(b=0.0), data=dict(x=da.from_array(x, chunks=999), y=da.from_array(y)))
    kinds = [finding.kind for finding in apart.diagnose().findings]
    assert "separation" in kinds or "rising" in kinds
    assert kinds == [finding.kind for finding in memory.diagnose().findings]
