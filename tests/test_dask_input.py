"""What Dask has and what is taken of it: dtypes, chunks, partitions, and what is no column."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import tapegrad as tg
from tapegrad.pieces.shard import as_numbers

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

N = 3_000
RNG = np.random.default_rng(41)
Y = RNG.normal(size=N)
X = RNG.normal(size=N)
FRAME = pd.DataFrame(dict(y=Y, x=X))
NAME = dict(b=0.3)


def loglik(b, y):
    return -((y - b) ** 2).sum()


def regression(b, y, x):
    return -((y - b * x) ** 2).sum()


def matrix(b, y):
    return -((y - b) ** 2).sum() - (y[:, 0] * y[:, 1]).sum()


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield


def chunked(array, chunks=700):
    return da.from_array(array, chunks=chunks)


def parts(*columns, n=4, **named):
    return dd.from_pandas(pd.DataFrame(named), npartitions=n)


def value(function, **data):
    return tg.trace(function, NAME, data=data)(NAME)


# Numbers of every kind --------------------------------------------------------------------------------------

ARRAYS = {
    "float32": Y.astype("f4"),
    "float16": Y.astype("f2"),
    "longdouble": Y.astype(np.longdouble),
    "int8": (10.0 * Y).astype("i1"),
    "uint64": (10.0 * np.abs(Y)).astype("u8"),
    "bool": Y > 0.0,
    "big-endian": Y.astype(">f8"),
}
SERIES = {
    "Int64": pd.Series(Y * 10).round().astype("Int64"),
    "boolean": pd.Series(Y > 0).astype("boolean"),
    "Float64": pd.Series(Y).astype("Float64"),
    "double[pyarrow]": pd.Series(Y).astype("double[pyarrow]"),
    "int64[pyarrow]": pd.Series(Y * 10).round().astype(int).astype("int64[pyarrow]"),
    "Sparse": pd.Series(np.where(Y > 1, Y, 0.0)).astype(pd.SparseDtype(float, 0.0)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_numbers_of_every_kind_are_what_they_are_in_memory(kind):
    array = ARRAYS[kind]
    assert value(loglik, y=chunked(array)) == pytest.approx(value(loglik, y=array), rel=1e-13)


@pytest.mark.parametrize("kind", SERIES)
def test_columns_of_pandas_own_dtypes_are_floats(kind):
    column = SERIES[kind]
    numbers = column.to_numpy(dtype=float)
    assert value(loglik, y=parts(y=column)["y"]) == pytest.approx(loglik(0.3, numbers), rel=1e-13)
    both = parts(y=column, x=X)
    memory = matrix(0.3, np.column_stack([numbers, X]))
    assert value(matrix, y=both) == pytest.approx(memory, rel=1e-13)


@pytest.mark.parametrize(
    ("cut", "chunks"),
    [
        ("first", [Y[:0], Y]),
        ("middle", [Y[:1_500], Y[:0], Y[1_500:]]),
        ("last", [Y, Y[:0]]),
        ("several", [Y[:0], Y[:0], Y[:10], Y[:0], Y[10:], Y[:0]]),
    ],
)
def test_empty_chunks_have_no_influence(cut, chunks):
    array = da.concatenate([chunked(chunk) for chunk in chunks])
    assert value(loglik, y=array) == pytest.approx(loglik(0.3, Y), rel=1e-13)


def test_partitions_may_be_empty_and_cut_otherwise():
    table = parts(y=Y, x=X)
    for first, last in ((0, 899), (1_500, N)):
        kept = table.loc[first:last]
        assert value(loglik, y=kept["y"]) == pytest.approx(loglik(0.3, Y[first : last + 1]), rel=1e-13)
    some = table[table["x"] > 0.0]
    memory = regression(0.3, Y[X > 0.0], X[X > 0.0])
    assert value(regression, y=some["y"], x=some["x"]) == pytest.approx(memory, rel=1e-13)
    other = table["x"].repartition(npartitions=3)
    assert value(regression, y=table["y"], x=other) == pytest.approx(regression(0.3, Y, X), rel=1e-13)
    assert value(regression, y=table["y"], x=X) == pytest.approx(regression(0.3, Y, X), rel=1e-13)


# What is refused --------------------------------------------------------------------------------------------


def late(chunk, dtype=float):
    """A chunk of which Dask is told that it is as long as Y and of this dtype, after that of Y."""
    return da.concatenate([chunked(Y), da.from_delayed(dask.delayed(lambda: chunk)(), (N,), dtype=dtype)])


CATEGORY = pd.Series(np.where(Y > 0, "a", "b")).astype("category")
DAYS = pd.Series(pd.date_range("2000", periods=N))
REFUSED = {
    "complex": (lambda: chunked(Y + 1j), TypeError, "not complex128: write the real and the imaginary part"),
    "objects": (lambda: chunked(Y.astype(object)), TypeError, r"not object: write y\.astype\(float\)"),
    "texts": (
        lambda: chunked(Y.astype(str)),
        TypeError,
        r"not <U\d+: write .* of texts, y\.astype\('category'\)",
    ),
    "dates": (
        lambda: chunked(DAYS.to_numpy()),
        TypeError,
        r"not datetime64\[.s\]: .*\(y - start\) / np\.timedelta64",
    ),
    "durations": (
        lambda: chunked(np.arange(N).astype("m8[s]")),
        TypeError,
        r"not timedelta64.*y / np\.timedelta64",
    ),
    "records": (lambda: chunked(np.zeros(N, dtype=[("a", float)])), TypeError, "must be real numbers, not"),
    "whole numbers beyond": (lambda: chunked(np.full(N, 2**63, dtype="u8")), ValueError, "beyond 2.*astype"),
    "one number": (
        lambda: da.from_array(np.array(1.0)),
        ValueError,
        r"y is one number in Dask: y\.compute\(\)",
    ),
    "column of objects": (lambda: parts(y=Y.astype(object))["y"], TypeError, "not object"),
    "column of texts": (lambda: parts(y=Y.astype(str))["y"], TypeError, r"of texts, y\.astype\('category'\)"),
    "arrow's texts": (
        lambda: parts(y=pd.Series(Y.astype(str)).astype("string[pyarrow]"))["y"],
        TypeError,
        "must be real numbers, not string",
    ),
    "categories": (
        lambda: parts(y=CATEGORY)["y"],
        TypeError,
        r"not category: .*\.cat\.as_known\(\)\.cat\.codes",
    ),
    "column of dates": (lambda: parts(y=DAYS)["y"], TypeError, r"not datetime64\[.s\]"),
    "with time zones": (lambda: parts(y=DAYS.dt.tz_localize("UTC"))["y"], TypeError, "UTC"),
    "a table with texts": (
        lambda: parts(x=X, t=Y.astype(str)),
        TypeError,
        r"data y\['t'\] must be real numbers",
    ),
    "delayed": (
        lambda: dask.delayed(lambda: Y)(),
        TypeError,
        r"not a Delayed of Dask: dask\.array\.from_delayed\(y, ",
    ),
    "attribute of delayed": (lambda: dask.delayed(FRAME).y, TypeError, r"DelayedAttr of Dask: dask\.array"),
    "bag": (
        lambda: pytest.importorskip("dask.bag").from_sequence(Y.tolist(), npartitions=3),
        TypeError,
        r"not a Bag of Dask: y\.to_dataframe\(\) has columns",
    ),
    "reduced": (
        lambda: parts(y=Y)["y"].sum(),
        TypeError,
        r"not a Scalar of Dask: y\.compute\(\) is a number",
    ),
    "masked": (
        lambda: da.ma.masked_array(chunked(Y), chunked(Y) > 1),
        TypeError,
        r"MaskedArray: .*block\.filled\(np\.nan\)",
    ),
    "sparse": (
        lambda: chunked(np.eye(N, 2), (700, 2)).map_blocks(sparse.csr_matrix),
        TypeError,
        r"chunks of data y are scipy's csr_matrix: y\.map_blocks\(lambda block: block\.toarray\(\)\)",
    ),
    "unknown sizes": (
        lambda: chunked(Y)[chunked(Y) > 0],
        ValueError,
        r"unknown sizes: y\.compute_chunk_sizes\(\)",
    ),
    "chunks of columns": (
        lambda: chunked(np.eye(N, 4), (700, 2)),
        ValueError,
        r"y is chunked along 2 axes, \(5, 2\): a chunk has to hold whole rows, as y\.rechunk\(\{1: -1\}\)",
    ),
    "no rows": (
        lambda: da.concatenate([chunked(Y[:0]), chunked(Y[:0])]),
        ValueError,
        "no data: y has no rows",
    ),
    "no rows in any partition": (
        lambda: parts(y=Y)[parts(y=Y)["y"] > 1e9]["y"],
        ValueError,
        "no data: y has no rows",
    ),
    "a length found late": (
        lambda: late(Y[:100]),
        ValueError,
        "a chunk of data y has 100 rows, and Dask was told that there are 3,000: .*from_delayed",
    ),
    "a dtype found late": (lambda: late(Y + 1j), TypeError, "data y must be real numbers, not complex128"),
    "a mask found late": (lambda: late(np.ma.masked_greater(Y, 1.0)), TypeError, "data y are masked"),
    "sparse chunks found late": (
        lambda: late(sparse.coo_array(Y)),
        TypeError,
        "data y comes in sparse chunks",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pandas", "ignore:Series.values")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_refused_with_what_to_write(case):
    make, error, said = REFUSED[case]
    with pytest.raises(error, match=f"(?s){said}"):
        tg.trace(loglik, NAME, data=dict(y=make()))(NAME)


def test_columns_of_other_dataframes():
    table, less = parts(y=Y, x=X), dd.from_pandas(FRAME.iloc[:2_000], npartitions=3)
    with pytest.raises(
        ValueError, match="with different rows, by their index: y from 0 to 2999, x from 0 to 1999"
    ):
        value(regression, y=table["y"], x=less["x"])
    moved = dd.from_pandas(FRAME.set_index(np.arange(N) + 5), npartitions=4)
    with pytest.raises(ValueError, match=r"y from 0 to 2999, x from 5 to 3004\. Join the dataframes first"):
        value(regression, y=table["y"], x=moved["x"])
    with pytest.raises(ValueError, match="must have the same number of rows: y has 3,000, x has 2,000"):
        value(regression, y=table["y"].clear_divisions(), x=less["x"])


def test_a_table_is_no_data_of_trace_and_the_error_says_what_is():
    for table in (FRAME, parts(y=Y)):
        with pytest.raises(
            TypeError, match=re.escape("dict(x=table['x']), not a DataFrame: only `fit` takes")
        ):
            tg.trace(loglik, NAME, data=table)


@pytest.mark.parametrize(
    ("array", "error", "said"),
    [
        (np.ma.masked_greater(Y, 1.0), TypeError, r"masked, and what is under the mask would be .*\.filled"),
        (np.full(5, 2**63, dtype="u8"), ValueError, r"hold whole numbers beyond 2\*\*63"),
        (Y + 1j, TypeError, "must be real numbers, not complex128"),
    ],
)
def test_the_same_arrays_are_refused_in_memory(array, error, said):
    with pytest.raises(error, match=f"data y .*{said}"):
        tg.trace(loglik, NAME, data=dict(y=array))
    with pytest.raises(error, match=f"data y .*{said}"):
        as_numbers("y", array)


# Functions with a state -------------------------------------------------------------------------------------

CALLS = []
STATE = np.random.default_rng(1)


def counting(b, y):
    CALLS.append(1)
    return -((y - b) ** 2).sum() * len(CALLS)


def drawing(b, y):
    return -((y - b) ** 2).sum() + np.random.normal()  # noqa: NPY002


def drawing_of_a_generator(b, y):
    return -((y - b) ** 2).sum() + STATE.normal()


def drawing_for_each_row(b, y):
    return -((y - b + STATE.normal(size=len(y))) ** 2).sum()


def fresh_draws(b, y):
    return -((y - b) ** 2).sum() * np.random.default_rng().normal()


@pytest.mark.parametrize(
    "function", [counting, drawing, drawing_of_a_generator, drawing_for_each_row, fresh_draws]
)
def test_a_function_that_keeps_state_or_draws_is_refused_with_its_line(function):
    said = r"the step at .*input\.py:\d+: `return .*` differs from call to call\. Draw random numbers"
    with pytest.raises(tg.ReplayError, match=said):
        tg.trace(function, NAME, data=dict(y=chunked(Y)))
