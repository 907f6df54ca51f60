"""Data in pieces: cut tapes, data on disk, and functions of any number of rows."""

import pickle
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import special, stats

import tapegrad as tg
from tapegrad.backends.replay import evaluate
from tapegrad.derive.many import whole_jacobian
from tapegrad.errors import TraceError
from tapegrad.passes import tidy
from tapegrad.pieces.shard import AT_ONCE, cuts, resized
from tapegrad.plan.split import Combined, split
from tapegrad.tape.verify import verify

N = 20_011  # one row more than fits the lengths in which pieces are computed
RNG = np.random.default_rng(20)
X = RNG.normal(size=(N, 3))
Y = RNG.poisson(np.exp(X @ [0.3, -0.2, 0.1])).astype(float)
GROUP = RNG.integers(0, 7, N)
ALL = dict(X=X, y=Y, group=GROUP)


def poisson(b, X, y, group):
    eta = X @ b
    return (y * eta - np.exp(eta) - special.gammaln(y + 1.0)).sum()


def with_groups(b, X, y, group):
    return (stats.norm.logpdf(y, np.append(b, b**2)[group % 6], np.exp(b[0]))).sum()


def of_moments(b, X, y, group):
    centred = y - y.mean()  # a sum that another one needs: two rounds
    spread = np.sqrt((centred**2).mean())
    return (
        -len(y) * np.log(spread + b[0] ** 2)
        - 0.5 * ((centred - b[1]) ** 2).sum() / spread
        + b[2] * y.std(ddof=1)
    )


def of_extremes(b, X, y, group):
    return (b[0] * y.max() - b[1] * X[:, 0].min() + b[2] * np.logaddexp(y, X @ b).sum()) / X.shape[0]


def with_a_branch(b, X, y, group):
    scale = np.exp(b[0]) if b[1] > 0.0 else 1.0 + b[0] ** 2
    return -(np.log1p(((y - b[2]) / scale) ** 2) + np.log(scale)).sum()


def of_ones(b, X, y, group):
    design = np.column_stack([np.ones(len(y)), X[:, :2]])
    return -np.log1p((y - design @ b) ** 2).sum() - 0.5 * (b @ b)


MODELS = [poisson, with_groups, of_moments, of_extremes, with_a_branch, of_ones]
THETA = np.array([0.25, 0.5, -0.1])


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    found = {}
    for name, array in ALL.items():
        np.save(folder / f"{name}.npy", array)
        found[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return found


# Cutting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_rounds_over_pieces_give_what_the_tape_gives(model):
    data = {name: array[:1_009] for name, array in ALL.items()}
    traced = tg.trace(model, dict(b=THETA), data=data, sufficient_statistics=False)
    tape = tidy(whole_jacobian(traced._router.current.tapes.gradient_alone))  # as of data in pieces
    found = split(tape, 1_009)
    values = (
        dict(zip(tape.data, data.values(), strict=True)) | dict(tape.constants) | {tape.parameters[0]: THETA}
    )

    def run(part, columns=()):
        vector = np.concatenate([np.ravel(values[slot]) for slot in part.reads] or [[]])
        found = evaluate(part.tape, vector, dict(zip(part.tape.data, columns, strict=True)))
        return [found[slot] for slot in part.tape.outputs]

    for each in found.rounds:
        values.update(zip(each.before.gives, run(each.before), strict=True))
        outputs = run(each.shard, [values[slot] for slot in each.shard.columns])
        values.update(zip(each.shard.gives, outputs, strict=True))
    values.update(zip(found.after.gives, run(found.after), strict=True))
    np.testing.assert_allclose(values[tape.outputs[0]], traced.hessian_flat(THETA), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_a_split_holds_no_data_and_its_parts_are_tapes(model):
    traced = tg.trace(model, dict(b=THETA), data=ALL)
    found = traced.plan.split(N)
    parts = [part for each in found.rounds for part in (each.before, each.shard)] + [found.after]
    for part in parts:
        verify(part.tape)
        assert all(np.size(value) < N for _, value in part.tape.constants)
    assert len(pickle.dumps(found)) < 20_000
    assert str(found).startswith(f"split of {model.__name__} along 20,011 rows\n  once: ")


def test_the_rounds_are_as_many_as_sums_need_each_other():
    rounds = split(tg.trace(of_moments, dict(b=THETA), data=ALL).tape, N).rounds
    assert len(rounds) == 2  # the mean, then what it is subtracted in
    rounds = split(tg.trace(poisson, dict(b=THETA), data=ALL).tape, N).rounds
    assert [each.how for each in rounds] == [(Combined.SUM,)]


@pytest.mark.parametrize("count", [1, 8_191, 8_192, 300_000, 131_072 * 3 + 5])
def test_cuts_add_up(count):
    assert sum(cuts(count)) == count
    assert len(set(cuts(count))) <= 3
    assert max(cuts(count)) <= AT_ONCE


def test_a_tape_for_more_rows_is_the_tape_that_is_recorded_on_them():
    def shape(n):
        data = {name: array[:n] for name, array in ALL.items()}
        return tg.trace(poisson, dict(b=THETA), data=data, sufficient_statistics=False).grad_tape

    assert str(resized(shape(1_009), 1_009, 5_003)) == str(shape(5_003))


# On disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_data_on_disk_give_what_they_give_in_memory(model, on_disk):
    memory = tg.trace(model, dict(b=THETA), data=ALL, backend="replay")
    disk = tg.trace(model, dict(b=THETA), data=on_disk, backend="numpy")
    for theta in (THETA, np.array([0.1, -0.3, 0.2])):
        value, gradient = memory.value_and_grad_flat(theta)
        found, slope = disk.value_and_grad_flat(theta)
        assert found == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(slope, gradient, rtol=1e-10, atol=1e-9 * np.abs(gradient).max())
        curvature = memory.hessian_flat(theta)
        scale = np.abs(curvature).max()
        np.testing.assert_allclose(disk.hessian_flat(theta), curvature, rtol=1e-10, atol=1e-12 * scale)
        direction = np.array([1.0, -2.0, 0.5])
        products = [each.hvp_flat(theta, direction) for each in (memory, disk)]
        np.testing.assert_allclose(*products, rtol=1e-10, atol=1e-11 * scale)
    assert disk.nobs == memory.nobs
    assert disk.retraces == memory.retraces == (model is with_a_branch)


def test_a_fit_is_the_same_with_every_kind_of_standard_errors(on_disk):
    def rows(b, X, y, group):
        eta = X @ b
        return y * eta - np.exp(eta) - special.gammaln(y + 1.0)

    for kind, keywords in [
        ("nonrobust", {}),
        ("opg", {}),
        ("HC0", {}),
        ("HC1", {}),
        ("cluster", dict(groups=GROUP.astype(str))),
    ]:
        memory, disk = (
            tg.fit(rows, dict(b=np.zeros(3)), data=data, cov_type=kind, cov_kwds=keywords)
            for data in (ALL, on_disk)
        )
        np.testing.assert_allclose(disk.bse, memory.bse, rtol=1e-12)
        np.testing.assert_allclose(disk.x, memory.x, rtol=1e-9)
        assert disk.nobs == N
        assert disk.bic == pytest.approx(memory.bic, rel=1e-13)
    with pytest.raises(
        ValueError, match="cov_type='HAC' need the log-likelihoods of all observations in one place"
    ):
        tg.fit(rows, dict(b=np.zeros(3)), data=on_disk, cov_type="HAC", cov_kwds=dict(maxlags=2))
    with pytest.raises(
        ValueError, match=r"rows returns a number for each of 20,011 rows.*end it with .sum\(\)"
    ):
        tg.trace(rows, dict(b=THETA), data=on_disk)(dict(b=THETA))


def test_few_rows_on_disk_are_read(on_disk):
    few = {name: array[:900] for name, array in on_disk.items()}
    traced = tg.trace(poisson, dict(b=THETA), data=few)
    assert not traced.is_in_pieces
    assert traced.nobs == 900


@pytest.mark.slow
def test_memory_stays_small(tmp_path):
    """Files of 1.8 GB, of which a process reads everything, with 200 MB for itself."""
    program = textwrap.dedent(
        f"""
        import resource
        import numpy as np, tapegrad as tg
        X = np.lib.format.open_memmap({str(tmp_path / "X.npy")!r}, mode="w+", shape=(20_000_000, 10))
        y = np.lib.format.open_memmap({str(tmp_path / "y.npy")!r}, mode="w+", shape=(20_000_000,))
        X = np.load({str(tmp_path / "X.npy")!r}, mmap_mode="r")
        y = np.load({str(tmp_path / "y.npy")!r}, mmap_mode="r")
        resource.setrlimit(resource.RLIMIT_DATA, (300_000_000, 300_000_000))
        def loglik(b, X, y):
            eta = X @ b
            return (y * eta - np.log1p(np.exp(eta))).sum()
        traced = tg.trace(loglik, dict(b=np.zeros(10)), data=dict(X=X, y=y), backend="numpy")
        value, slope = traced.value_and_grad(dict(b=np.ones(10)))
        result = tg.fit(
            lambda b, X, y: loglik(b, X, y) - b @ b, dict(b=np.zeros(10)), data=dict(X=X, y=y), missing="drop"
        )
        status = open("/proc/self/status").read()
        print(value / len(y), np.abs(slope["b"]).max(), np.abs(result.x).max(), result.nobs)
        print(status.partition("RssAnon:")[2].split()[0] if "RssAnon" in status else 0)
        """
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    value, slope, found, nobs, kilobytes = map(float, run.stdout.split())
    assert value == pytest.approx(-np.log(2.0), rel=1e-12)
    assert slope == found == 0.0
    assert nobs == 20_000_000
    assert kilobytes < 200_000


# What cannot be done in pieces ------------------------------------------------------------------------------


def running(b, X, y, group):
    return np.cumsum(y * b[0]).sum()


def ordered(b, X, y, group):
    return (np.sort(X[:, 0] * b[0]) * y).sum()


def differenced(b, X, y, group):
    return ((y[1:] - b[0] * y[:-1]) ** 2).sum()


def numbered(b, X, y, group):
    return (np.arange(len(y)) * y * b[0]).sum()


def squared(b, X, y, group):
    return b[0] * y.sum() / len(y) ** 3


def by_length(b, X, y, group):
    return (y * b[0]).sum() if len(y) > 800 else (y * b[1]).sum() * 2.0


def between_all(b, X, y, group):
    return np.exp(-b[0] * (y[:, None] - y[None, :]) ** 2).sum()


def decided_by_rows(b, X, y, group):
    return (y * b[0]).sum() if (y * b[0] == X[:, 0]).tolist()[0] else (y * b[1]).sum()


@pytest.mark.parametrize(
    ("model", "line", "said"),
    [
        (running, "return np.cumsum", "mixes rows"),
        (ordered, "return (np.sort", "mixes rows"),
        (differenced, "return ((y[1:]", "makes an array whose length is not that of the data"),
        (numbered, "return (np.arange", "has as many rows as the data"),
        (squared, "return b[0]", "depends on the number of rows, and is neither linear in it"),
        (by_length, "return (y * b[0])", "takes another way with 499 rows than with 1,009"),
        (between_all, "return np.exp", "compares rows with rows"),
        (decided_by_rows, "return (y * b[0])", "takes another way|decides on every row"),
    ],
)
def test_what_mixes_rows_is_refused_with_its_line(model, line, said, on_disk):
    with pytest.raises(TraceError, match=f"(?s){said}") as raised:
        tg.trace(model, dict(b=THETA), data=on_disk).grad(dict(b=THETA))
    assert re.search(rf"test_pieces\.py:\d+: `{re.escape(line)}", str(raised.value))


def test_arrays_on_disk_of_different_lengths(on_disk):
    with pytest.raises(
        ValueError, match=r"the arrays on disk have different numbers of rows: \[20010, 20011\]"
    ):
        tg.trace(poisson, dict(b=THETA), data={**on_disk, "y": on_disk["y"][1:]})


def test_a_function_of_pieces_is_read_on_some_rows_and_is_no_part_of_another(on_disk):
    traced = tg.trace(poisson, dict(b=THETA), data=on_disk)
    with pytest.raises(ValueError, match="the value of every slot of poisson needs whole arrays"):
        traced.values(THETA)
    with pytest.warns(tg.NonFiniteWarning, match="the value of poisson is NaN: the parameter b holds 1 NaN"):
        traced(dict(b=np.array([np.nan, 0.0, 0.0])))
    with pytest.raises(TraceError, match="poisson sums over data in pieces, and cannot be part of another"):
        tg.trace(lambda b: traced(dict(b=2.0 * b)), dict(b=THETA))
    with pytest.raises(ValueError, match="data in pieces cannot be replaced"):
        traced.with_data(y=Y)
