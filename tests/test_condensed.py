"""Sufficient statistics of data in pieces: found once, where the rows are, as those of arrays in memory."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import tapegrad as tg
from tapegrad.function import condensing
from tapegrad.function.derived import VALUE
from tapegrad.passes.statistics import statistics as pass_
from tapegrad.pieces.cluster import ClusterRows
from tapegrad.stats import bernoulli, expon, nbinom, norm, poisson

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

N = 5_003
CHUNKS = (1_000, 3, 2_500, 0, 1_500)
RNG = np.random.default_rng(31)
X = RNG.normal(size=(N, 3)) + 4.0
NORMAL = RNG.normal(5.0, 2.0, N)
COUNTS = RNG.poisson(3.0, N)
ALL = dict(
    y=NORMAL,
    wait=RNG.gamma(2.0, 1.5, N),
    count=COUNTS,
    bit=(RNG.random(N) < 0.3).astype(float),
    event=np.arange(N) > 900,  # in the first chunk few, in the last all
    weight=np.where(RNG.random(N) < 0.2, 0.0, RNG.random(N)),
    group=np.minimum(np.arange(N) // 1_200, 3),
    X=X,
    far=NORMAL + 1e8,
)
BETA = np.array([0.1, -0.2, 0.3])


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def of(f: Any, data: Any = None) -> dict[str, Any]:
    """The columns that a function takes."""
    return {name: (data or ALL)[name] for name in inspect.signature(f).parameters if name in ALL}


def chunked(arrays: dict[str, Any], chunks: Any = CHUNKS) -> dict[str, Any]:
    return {
        name: da.from_array(array, chunks=(chunks, *((n,) for n in array.shape[1:])))
        for name, array in arrays.items()
    }


def in_memory(f: Any, params: Any, data: Any = None) -> tg.TracedFunction:
    """The function of arrays that it finds outside, as the pass `statistics` wants them."""
    arrays = of(f, data)
    return tg.trace(lambda **given: f(**given, **arrays), params)


def reads_rows(traced: tg.TracedFunction) -> bool:
    tape = traced.grad_tape
    return any(condensing.LENGTHS[0] in tape.avals[entry.output].shape for entry in tape.entries)


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "normal": (lambda m, s, y: norm.logpdf(y, m, s).sum(), dict(m=4.0, s=1.5)),
    "normal, far away": (lambda m, s, far: norm.logpdf(far, m, s).sum(), dict(m=1e8 + 4.0, s=1.5)),
    "normal, as a mean": (lambda m, s, y: len(y) * norm.logpdf(y, m, s).mean(), dict(m=4.0, s=1.5)),
    "lognormal": (
        lambda m, s, wait: (norm.logpdf(np.log(wait), m, s) - np.log(wait)).sum(),
        dict(m=0.5, s=0.8),
    ),
    "exponential": (lambda s, wait: expon.logpdf(wait, scale=s).sum(), dict(s=2.0)),
    "weibull": (
        lambda s, wait: (np.log(1.5 / s) + 0.5 * np.log(wait / s) - (wait / s) ** 1.5).sum(),
        dict(s=2.3),
    ),
    "poisson": (lambda mu, count: poisson.logpmf(count, mu).sum(), dict(mu=2.5)),
    "poisson, by hand": (
        lambda b, count: (count * b - np.exp(b) - special.gammaln(count + 1.0)).sum(),
        dict(b=1.1),
    ),
    "bernoulli": (lambda p, bit: bernoulli.logpmf(bit, p).sum(), dict(p=0.4)),
    "negative binomial": (lambda p, count: nbinom.logpmf(count, 3.5, p).sum(), dict(p=0.4)),
    "censored": (
        lambda r, event, wait: np.where(event, np.log(r) - r * wait, -r * wait).sum(),
        dict(r=0.4),
    ),
    "a factor": (lambda m, s, y, group: norm.logpdf(y, m[group], s).sum(), dict(m=BETA[[0, 1, 2, 0]], s=1.5)),
    "weights": (
        lambda m, s, y, weight: np.where(weight > 0.0, weight * norm.logpdf(y, m, s), 0.0).sum(),
        dict(m=4.0, s=1.5),
    ),
    "least squares": (
        lambda b, a, log_s, y, X: norm.logpdf(y, a + X @ b, np.exp(log_s)).sum(),
        dict(b=BETA, a=0.3, log_s=0.3),
    ),
    "least squares, far away": (
        lambda b, a, log_s, far, X: norm.logpdf(far, a + X @ b, np.exp(log_s)).sum(),
        dict(b=BETA, a=1e8, log_s=0.3),
    ),
    "least squares with ones": (
        lambda b, s, y, X: norm.logpdf(y, np.column_stack([np.ones(len(y)), X]) @ b, s).sum(),
        dict(b=np.array([0.5, 0.1, -0.2, 0.3]), s=1.5),
    ),
    "moments": (
        lambda m, s, y: -0.5 * ((y - y.mean() - m) ** 2).sum() / s**2 - y.std(ddof=1) * np.log(s) * len(y),
        dict(m=0.3, s=1.2),
    ),
    "a branch": (
        lambda m, y: -((y - m) ** 2).sum() if m > 3.7 else -2.0 * ((y - m) ** 2).sum(),
        dict(m=4.0),
    ),
    "ones": (
        lambda m, s, y: (np.where(np.ones(len(y)) > 0.5, np.log(s), m) - (y - m) ** 2 / s).sum(),
        dict(m=4.0, s=1.5),
    ),
    "a prior": (lambda m, s, y: norm.logpdf(y, m, s).sum() - 0.5 * m**2, dict(m=4.0, s=1.5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_no_row_is_read_and_the_results_are_those_in_memory(name: str, monkeypatch: Any) -> None:
    f, params = MODELS[name]
    memory, traced = in_memory(f, params), tg.trace(f, params, data=chunked(of(f)))
    first = traced.value_and_grad(params)
    assert not reads_rows(traced)
    monkeypatch.setattr(ClusterRows, "_over_all", None)  # nobody asks the chunks any more
    vector = traced.ravel(params)
    for factor in (1.0, 1.0 - 1e-9) if "far" in name else (1.0, 0.9, 1.9):
        if name == "a branch" and factor == 0.9:
            continue  # another path is another tape
        found, gradient = traced.value_and_grad_flat(factor * vector)
        value, slope = memory.value_and_grad_flat(factor * vector)
        assert found == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-12 * np.abs(slope).max())
        curvature = memory.hessian(factor * vector)
        scale = np.abs(curvature).max()
        np.testing.assert_allclose(traced.hessian(factor * vector), curvature, rtol=1e-12, atol=1e-12 * scale)
        direction = np.linspace(-1.0, 1.0, vector.size)
        products = [one.hvp_flat(factor * vector, direction) for one in (traced, memory)]
        np.testing.assert_allclose(*products, rtol=1e-11, atol=1e-11 * scale)
    assert traced.value_and_grad(params)[0] == first[0]
    assert traced.nobs == N


def test_another_branch_has_statistics_of_its_own() -> None:
    f, _ = MODELS["a branch"]
    traced = tg.trace(f, dict(m=4.0), data=chunked(of(f)))
    for m in (4.0, 3.0, 4.5, 3.5):
        assert traced(dict(m=m)) == pytest.approx(f(m, NORMAL), rel=1e-13)
        assert not reads_rows(traced)
    assert traced.retraces == 1


def test_the_bits_depend_on_the_chunks_alone() -> None:
    f, params = MODELS["least squares"]
    found = []
    for options in (
        dict(scheduler="synchronous"),
        dict(scheduler="threads", num_workers=1),
        dict(scheduler="threads", num_workers=3),
    ):
        with dask.config.set(**options):
            value, gradient = tg.trace(f, params, data=chunked(of(f))).value_and_grad_flat(np.ones(5))
            found.append((value, *gradient))
    assert found[0] == found[1] == found[2]


def test_what_goes_out_to_the_chunks_is_small(monkeypatch: Any) -> None:
    reduced, sent = ClusterRows.reduced, []

    def pickled(self: Any, names: Any, each: Any, merge: Any) -> Any:
        sent.append(pickle.dumps((each, merge)))
        return reduced(self, names, *pickle.loads(sent[-1]))

    monkeypatch.setattr(ClusterRows, "reduced", pickled)
    f, params = MODELS["least squares, far away"]
    assert tg.trace(f, params, data=chunked(of(f)))(params) == pytest.approx(
        in_memory(f, params)(params), rel=1e-14
    )
    assert len(sent) == 3  # sums, deviations, and residuals, because much cancels
    assert max(map(len, sent)) < 5_000


def test_arrays_on_disk(tmp_path: Any) -> None:
    n = 300_000  # more than two pieces
    rng = np.random.default_rng(5)
    arrays = dict(y=rng.normal(1e6, 1.0, n), X=rng.normal(size=(n, 2)))
    on_disk = {}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        on_disk[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")

    def f(b: Any, a: Any, log_s: Any, y: Any, X: Any) -> Any:
        return norm.logpdf(y, a + X @ b, np.exp(log_s)).sum()

    params = dict(b=np.zeros(2), a=1e6, log_s=0.1)
    traced, memory = tg.trace(f, params, data=on_disk), in_memory(f, params, arrays)
    value, gradient = traced.value_and_grad_flat(np.array([0.1, 0.2, 1e6 + 0.1, 0.1]))
    expected, slope = memory.value_and_grad_flat(np.array([0.1, 0.2, 1e6 + 0.1, 0.1]))
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)
    oracle = stats.norm.logpdf(arrays["y"], 1e6 + 0.1 + arrays["X"] @ [0.1, 0.2], np.exp(0.1)).sum()
    assert value == pytest.approx(oracle, rel=1e-12)
    assert not reads_rows(traced)


# What stays with the rows -----------------------------------------------------------------------------------


def mixed(m: Any, s: Any, t: Any, y: Any, wait: Any) -> Any:
    return norm.logpdf(y, m, s).sum() - np.log1p(t * wait**2).sum() + y.mean() * t


def test_sums_without_statistics_are_walked_over_beside_the_others() -> None:
    params = dict(m=4.0, s=1.5, t=0.3)
    traced, memory = tg.trace(mixed, params, data=chunked(of(mixed))), in_memory(mixed, params)
    for factor in (1.0, 0.8):
        vector = factor * traced.ravel(params)
        value, gradient = traced.value_and_grad_flat(vector)
        expected, slope = memory.value_and_grad_flat(vector)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11)
        np.testing.assert_allclose(traced.hessian(vector), memory.hessian(vector), rtol=1e-11, atol=1e-9)
    (each,) = traced._router.current.programs[VALUE].split.rounds
    assert len(each.shard.columns) == 1  # no y any more


def test_what_is_kept_is_told() -> None:
    params = dict(m=4.0, s=1.5, t=0.3)
    source = tg.trace(mixed, params, data=chunked(of(mixed))).source()
    assert source.startswith("# Found once, and kept of all 5,003 rows:\n#   ")
    assert "#   mean(y) scalar\n" in source
    assert "#   norm(y - mean) scalar\n" in source
    assert "kept with each piece: tape mixed() -> (1009,), bool (1009,)    2 ops" in source  # the square
    f, params = MODELS["lognormal"]
    source = tg.trace(f, params, data=chunked(of(f))).source()
    assert "#   norm(log(wait) - mean) scalar\n" in source
    assert "1009" not in source


def test_without_statistics_all_rows_are_walked_over() -> None:
    f, params = MODELS["normal"]
    traced = tg.trace(f, params, data=chunked(of(f)), sufficient_statistics=False)
    assert reads_rows(traced)
    assert traced(params) == pytest.approx(stats.norm.logpdf(NORMAL, 4.0, 1.5).sum(), rel=1e-13)


@pytest.mark.parametrize("place", [3, 4_000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_rows_that_are_not_finite_or_outside_the_support_are_left_to_the_rows(bad: float, place: int) -> None:
    data = {**ALL, "wait": ALL["wait"].copy()}
    data["wait"][place] = bad
    f, params = MODELS["exponential"]
    traced = tg.trace(f, params, data=chunked(of(f, data)))
    expected = stats.expon.logpdf(data["wait"], scale=1.7).sum()
    assert traced.value_flat(np.array([1.7])) == pytest.approx(expected, nan_ok=True)
    assert reads_rows(traced)


def test_statistics_that_do_not_give_what_the_rows_give_are_not_taken(monkeypatch: Any) -> None:
    compress = pass_.compress

    def broken(*given: Any) -> Any:
        found = compress(*given)
        found.centre[:] *= 1.0 + 1e-9
        return found

    monkeypatch.setattr(pass_, "compress", broken)
    f, params = MODELS["normal"]
    traced = tg.trace(f, params, data=chunked(of(f)))
    assert traced(params) == pytest.approx(stats.norm.logpdf(NORMAL, 4.0, 1.5).sum(), rel=1e-13)
    assert reads_rows(traced)


def test_a_fit_needs_the_chunks_for_its_start_alone() -> None:
    f, params = MODELS["least squares"]
    result = tg.fit(f, params, data=chunked(of(f)))
    solution, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(N)]), NORMAL, rcond=None)
    np.testing.assert_allclose(result.x[:4], solution, rtol=1e-9)
    assert result.nobs == N
