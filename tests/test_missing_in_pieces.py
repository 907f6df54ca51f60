"""Rows with NaN in data on disk and in Dask's chunks: what happens is what happens in memory."""

import numpy as np
import pandas as pd
import pytest

import tapegrad as tg
from tapegrad.function.long import Column
from tapegrad.mle.model.columns import read_columns

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

N = 20_000
RNG = np.random.default_rng(51)
FRAME = pd.DataFrame(dict(y=RNG.normal(size=N), x=RNG.normal(size=N), firm=RNG.choice(list("abcdefgh"), N)))
FRAME.loc[RNG.random(N) < 0.03, "y"] = np.nan
FRAME.loc[RNG.random(N) < 0.02, "x"] = np.nan
FRAME.loc[10_000:10_999, "y"] = np.nan  # a whole chunk
START = dict(b=0.3, s=0.1)
COMPLETE = FRAME[["y", "x"]].notna().all(axis=1).to_numpy()


def loglik(b, s, y, x):
    return -0.5 * ((y - b * x) / np.exp(s)) ** 2 - s


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name in "yx":
        np.save(folder / f"{name}.npy", FRAME[name])
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in "yx"}


def in_chunks():
    return {name: da.from_array(FRAME[name].to_numpy(), chunks=1_000) for name in "yx"}


def in_partitions():
    table = dd.from_pandas(FRAME, npartitions=20)
    return {name: table[name] for name in "yx"}


@pytest.fixture
def data(request, on_disk):
    return (
        on_disk
        if request.param == "disk"
        else {"chunks": in_chunks, "partitions": in_partitions}[request.param]()
    )


EVERYWHERE = pytest.mark.parametrize("data", ["disk", "chunks", "partitions"], indirect=True)


@pytest.fixture(scope="module")
def memory():
    firms = dict(cov_type="cluster", cov_kwds=dict(groups="firm"))
    return tg.fit(loglik, START, data=FRAME, missing="drop", **firms)


@EVERYWHERE
@pytest.mark.parametrize("labels", [FRAME["firm"].to_numpy(), FRAME["firm"].to_numpy()[COMPLETE]], ids=len)
def test_rows_are_dropped_as_in_memory_and_groups_with_them(data, labels, memory):
    found = tg.fit(loglik, START, data=data, missing="drop", cov_type="cluster", cov_kwds=dict(groups=labels))
    np.testing.assert_allclose(found.x, memory.x, rtol=1e-11)
    np.testing.assert_allclose(found.bse, memory.bse, rtol=1e-11)
    assert (found.nobs, found.dropped) == (memory.nobs, memory.dropped) == (COMPLETE.sum(), (~COMPLETE).sum())
    assert f"({memory.dropped} dropped: values are missing)" in str(found.summary())


def test_a_table_of_dask_is_a_table(memory):
    table = dd.from_pandas(FRAME, npartitions=20)
    with pytest.raises(
        ValueError, match=r"values are missing in y \(\d+\), x \(\d+\): missing='drop' leaves out"
    ) as told:
        tg.fit(loglik, START, data=table)
    with pytest.raises(ValueError, match="values are missing") as expected:
        tg.fit(loglik, START, data=FRAME)
    assert str(told.value) == str(expected.value)
    firms = dict(cov_type="cluster", cov_kwds=dict(groups="firm"))
    found = tg.fit(loglik, START, data=table, missing="drop", **firms)
    np.testing.assert_allclose(found.bse, memory.bse, rtol=1e-11)
    full = tg.fit(loglik, START, data=table.dropna(), **firms)
    np.testing.assert_allclose(full.bse, memory.bse, rtol=1e-11)
    with pytest.raises(ValueError, match="groups='city' is no column of the data, which are y, x, firm"):
        tg.fit(loglik, START, data=table, cov_type="cluster", cov_kwds=dict(groups="city"), missing="drop")


@EVERYWHERE
def test_nan_in_arrays_is_taken_as_it_is_and_named(data):
    with pytest.raises(ValueError, match=r"nan at the start .*(?s:.*)values are missing in y \(\d"):
        tg.fit(loglik, START, data=data)
    with pytest.raises(ValueError, match=r"values are missing in y \(\d+\), x \(\d+\)"):
        tg.fit(loglik, START, data=data, missing="raise")

    def masked(b, s, y, x):
        seen = ~(np.isnan(y) | np.isnan(x))
        return np.where(seen, loglik(b, s, np.where(seen, y, 0.0), np.where(seen, x, 0.0)), 0.0).sum()

    pieces = tg.fit(masked, START, data=data)
    whole = tg.fit(masked, START, data={name: FRAME[name].to_numpy() for name in "yx"})
    np.testing.assert_allclose(pieces.bse, whole.bse, rtol=1e-10)
    assert pieces.nobs == whole.nobs == N


def test_missing_in_dtypes_of_pandas_own():
    counts = pd.Series(RNG.poisson(3.0, N)).astype("Int64").mask(FRAME["y"].isna())
    for column in (counts, counts.astype("int64[pyarrow]")):
        frame = pd.DataFrame(dict(y=column, x=FRAME["x"]))
        whole, parts = (
            tg.fit(loglik, START, data=table, missing="drop")
            for table in (frame, dd.from_pandas(frame, npartitions=7))
        )
        np.testing.assert_allclose(parts.bse, whole.bse, rtol=1e-11)
        assert parts.nobs == whole.nobs == COMPLETE.sum()


@EVERYWHERE
def test_few_rows_that_are_left_are_arrays_and_none_are_an_error(data):
    few = {name: array[:1_500] for name, array in data.items()} if isinstance(data["y"], np.ndarray) else None
    if few is not None:
        hidden = {**few, "x": np.where(np.arange(1_500) < 900, few["x"], np.nan)}
        left = read_columns(hidden, loglik, START, "drop")
        assert not any(isinstance(value, Column) for value in left.values.values())
        assert left.dropped == 1_500 - COMPLETE[:900].sum()
    nothing = {**data, "y": data["y"] * np.nan}
    with pytest.raises(ValueError, match="no data: y, x has no elements"):
        tg.fit(loglik, START, data=nothing, missing="drop")


@EVERYWHERE
def test_columns_of_other_lengths_are_as_in_memory(data):
    def with_prior(b, s, y, x, prior):
        return loglik(b, s, y, x).sum() - ((b - prior) ** 2).sum()

    whole = {name: FRAME[name].to_numpy() for name in "yx"}
    for columns in (data, whole):
        with pytest.raises(ValueError, match=r"rows cannot be dropped from columns of \[3, 20000\] rows"):
            tg.fit(with_prior, START, data={**columns, "prior": np.ones(3)}, missing="drop")


def test_labels_that_are_missing_are_named(on_disk):
    labels = FRAME["firm"].to_numpy().copy()
    place = np.flatnonzero(COMPLETE)[5_000]
    labels[place] = None
    numbers = np.where(pd.isna(labels), np.nan, 1.0)
    for data in (on_disk, in_chunks()):
        # Texts are looked at before rows are dropped, numbers afterwards.
        for groups, told in ((labels, place), (numbers, 5_000)):
            with pytest.raises(ValueError, match=f"groups has no label for observation {told}"):
                tg.fit(
                    loglik, START, data=data, missing="drop", cov_type="cluster", cov_kwds=dict(groups=groups)
                )
    codes = pd.Series(np.where(np.arange(N) == 7, None, "a"))
    with pytest.raises(
        ValueError, match="labels are missing in firm, which is in memory while other data are not"
    ):
        tg.fit(
            lambda b, s, y, x, firm: loglik(b, s, y, x),
            START,
            data={**in_chunks(), "firm": codes},
            missing="drop",
        )


def test_what_is_not_finite_for_another_reason_is_told(on_disk):
    def rooted(b, s, y, x):
        return (np.sqrt(x + 10.0 - b) * s).sum()

    clean = {"y": FRAME["y"].fillna(0.0).to_numpy(), "x": FRAME["x"].fillna(0.0).to_numpy(copy=True)}
    clean["x"][15_000] = -1e6
    data = {name: da.from_array(array, chunks=3_000) for name, array in clean.items()}
    traced = tg.trace(lambda b, s, x: rooted(b, s, 0.0, x), START, data=dict(x=data["x"]))
    told = r"all is finite in the first 1,009 of 20,000 rows: if something is not, it arises in other rows"
    with pytest.warns(tg.NonFiniteWarning, match=told):
        traced(START)
    assert str(traced.explain(START)).startswith("the value of ")
    assert "its gradient are finite in the first 1,009 of 20,000 rows" in str(traced.explain(START))
    assert "values are missing in y (" in str(tg.trace(rooted, START, data=on_disk).explain(START))
