"""Data as people have them: tables, texts, missing values, and what they are called in listings."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tapegrad as tg
from tapegrad.mle import fit, load, save
from tapegrad.mle.model.columns import read_columns
from tapegrad.stats import norm

RNG = np.random.default_rng(21)
N = 30
AGE = RNG.normal(size=N)
SCHOOL = np.array(["north", "east", "west"])[np.arange(N) % 3]
Y = 1.0 + 0.5 * AGE + 0.3 * (np.arange(N) % 3) + RNG.normal(size=N)
START = dict(a=0.0, b=0.0)
FULL = pd.DataFrame({"y": Y, "age": AGE, "school": SCHOOL, "unused": "x"})


def line(a: Any, b: Any, y: Any, age: Any) -> Any:
    return norm.logpdf(y, a + b * age, 1.0)


def schools(u: Any, b: Any, y: Any, age: Any, school: Any) -> Any:
    return norm.logpdf(y, u[school] + b * age, 1.0)


def _polars(df: pd.DataFrame) -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame({name: _list(df[name]) for name in df})


def _pyarrow(df: pd.DataFrame) -> Any:
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({name: _list(df[name]) for name in df})


def _list(column: Any) -> list[Any]:
    return [None if one is None or one != one else one for one in column.tolist()]


TABLES = [lambda df: df, _polars, _pyarrow]


# Tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=["pandas", "polars", "pyarrow"])
def test_columns_that_the_function_takes(table: Any) -> None:
    expected = fit(line, START, data=dict(y=Y, age=AGE))
    found = fit(line, START, data=table(FULL))
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12)
    assert found.nobs == N
    # Texts are the numbers of their levels, in alphabetical order.
    found = fit(schools, dict(u=np.zeros(3), b=0.0), data=table(FULL))
    codes = np.searchsorted(["east", "north", "west"], SCHOOL)
    expected = fit(schools, dict(u=np.zeros(3), b=0.0), data=dict(y=Y, age=AGE, school=codes))
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12)


@pytest.mark.parametrize("table", TABLES, ids=["pandas", "polars", "pyarrow"])
def test_columns_in_a_function_without_data(table: Any) -> None:
    df = table(FULL)
    expected = fit(line, START, data=dict(y=Y, age=AGE)).x
    for loglik in (
        lambda a, b: norm.logpdf(df["y"], a + b * df["age"], 1.0),
        lambda a, b: norm.logpdf(df["y"], a + df["age"] * b, 1.0),
    ):
        np.testing.assert_allclose(fit(loglik, START).x, expected, rtol=1e-9)


@pytest.mark.parametrize("table", TABLES, ids=["pandas", "polars", "pyarrow"])
def test_missing_values(table: Any) -> None:
    some = FULL.astype({"school": object}).copy()
    some.loc[3, "age"] = np.nan
    some.loc[[5, 6], "school"] = None
    data = table(some)
    kept = np.delete(np.arange(N), [3, 5, 6])
    with pytest.raises(ValueError, match=r"values are missing in age \(1\), school \(2\): missing='drop'"):
        fit(schools, dict(u=np.zeros(3), b=0.0), data=data)
    found = fit(schools, dict(u=np.zeros(3), b=0.0), data=data, missing="drop")
    expected = fit(schools, dict(u=np.zeros(3), b=0.0), data=FULL.iloc[kept])
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-10)
    assert (found.nobs, found.dropped) == (N - 3, 3)
    assert "No. observations: 27 (3 dropped: values are missing)" in str(found)


def test_the_number_of_dropped_rows_is_kept(tmp_path: Any) -> None:
    some = dict(y=np.where(np.arange(N) == 4, np.nan, Y), age=AGE)
    weights = np.linspace(0.5, 1.5, N)
    found = fit(line, START, data=some, missing="drop", weights=weights)
    kept = np.arange(N) != 4
    expected = fit(line, START, data=dict(y=Y[kept], age=AGE[kept]), weights=weights[kept])
    np.testing.assert_allclose(found.x, expected.x)
    save(found, tmp_path / "fit.json")
    assert load(tmp_path / "fit.json").dropped == 1
    assert found.to_dict()["dropped"] == 1


def test_arrays_are_taken_as_they_are_unless_one_asks() -> None:
    some = dict(y=np.where(np.arange(N) == 4, np.nan, Y), age=AGE)

    def masked(a: Any, b: Any, y: Any, age: Any) -> Any:
        return np.where(np.isnan(y), 0.0, norm.logpdf(np.nan_to_num(y), a + b * age, 1.0))

    assert fit(masked, START, data=some).nobs == N
    with pytest.raises(ValueError, match=r"values are missing in y \(1\)"):
        fit(masked, START, data=some, missing="raise")
    with pytest.raises(ValueError, match="missing is 'raise' or 'drop', not 'ignore'"):
        fit(masked, START, data=some, missing="ignore")
    with pytest.raises(ValueError, match=r"rows cannot be dropped from columns of \[2, 30\] rows"):
        fit(masked, START, data={**some, "z": np.zeros(2)}, missing="drop")


def test_nullable_and_categorical_columns() -> None:
    category = pd.Categorical(SCHOOL, categories=["west", "north", "east"])
    data = pd.DataFrame({"y": pd.array(Y, dtype="Float64"), "age": AGE, "school": category})
    found = read_columns(data, schools, dict(u=0, b=0))
    assert found.levels == {"school": ("west", "north", "east")}
    np.testing.assert_array_equal(found.values["school"], category.codes)
    whole = fit(schools, dict(u=np.zeros(3), b=0.0), data=data)
    plain = fit(schools, dict(u=np.zeros(3), b=0.0), data=FULL)
    np.testing.assert_allclose(whole.params["u"][[2, 1, 0]], plain.params["u"])
    data.loc[2, "y"] = pd.NA
    assert fit(schools, dict(u=np.zeros(3), b=0.0), data=data, missing="drop").dropped == 1
    with pytest.raises(
        TypeError, match=r"y holds Timestamp.* of type Timestamp: make numbers or texts of it"
    ):
        fit(line, START, data=dict(y=np.array([pd.Timestamp("2020"), 1.0], dtype=object), age=AGE))


def test_what_is_no_data() -> None:
    twice = pd.DataFrame(np.ones((3, 2)), columns=["y", "y"])
    with pytest.raises(ValueError, match="the table has several columns called y"):
        fit(line, START, data=twice)
    with pytest.raises(TypeError, match=r"such as dict\(x=x\), or a table, not a ndarray"):
        fit(line, START, data=Y)


def test_functions_that_take_everything_get_every_column() -> None:
    def all_of_it(a: Any, b: Any, **columns: Any) -> Any:
        assert set(columns) == {"y", "age"}
        return norm.logpdf(columns["y"], a + b * columns["age"], 1.0)

    np.testing.assert_allclose(
        fit(all_of_it, START, data=FULL[["y", "age"]]).x, fit(line, START, data=FULL).x
    )
    vector = fit(lambda t, y, age: norm.logpdf(y, t[0] + t[1] * age, 1.0), np.zeros(2), data=FULL)
    np.testing.assert_allclose(vector.x, fit(line, START, data=FULL).x)


# Groups -----------------------------------------------------------------------------------------------------


def test_groups_by_the_name_of_a_column() -> None:
    codes = np.arange(N) % 3
    expected = fit(line, START, data=FULL, cov_type="cluster", cov_kwds=dict(groups=codes)).bse
    for data in (FULL, dict(y=Y, age=AGE)):
        groups: Any = "school" if data is FULL else SCHOOL
        found = fit(line, START, data=data, cov_type="cluster", cov_kwds=dict(groups=groups))
        np.testing.assert_allclose(found.bse, expected)
    some = FULL.copy()
    some.loc[3, "age"] = np.nan
    found = fit(line, START, data=some, missing="drop", cov_type="cluster", cov_kwds=dict(groups="school"))
    left = fit(line, START, data=FULL.drop(3), cov_type="cluster", cov_kwds=dict(groups="school"))
    np.testing.assert_allclose(found.bse, left.bse)
    with pytest.raises(ValueError, match="groups='class' is no column of the data"):
        fit(line, START, data=FULL, cov_type="cluster", cov_kwds=dict(groups="class"))
    none = FULL.astype({"school": object})
    none.loc[2, "school"] = None
    with pytest.raises(ValueError, match="groups has no label for observation 2"):
        fit(line, START, data=none, cov_type="cluster", cov_kwds=dict(groups="school"))


def test_groups_of_resampling_by_the_name_of_a_column() -> None:
    def with_school(a: Any, b: Any, y: Any, age: Any, school: Any) -> Any:
        return norm.logpdf(y, a + b * age + 0.0 * school, 1.0)

    result = fit(with_school, START, data=FULL)
    np.testing.assert_array_equal(
        tg.mle.jackknife(result, groups="school").bse, tg.mle.jackknife(result, groups=SCHOOL).bse
    )
    drawn = [tg.mle.bootstrap(result, 20, groups=groups, seed=1).draws for groups in ("school", SCHOOL)]
    np.testing.assert_array_equal(*drawn)
    some = FULL.copy()
    some.loc[3, "age"] = np.nan
    fewer = fit(with_school, START, data=some, missing="drop")
    np.testing.assert_array_equal(
        tg.mle.jackknife(fewer, groups="school").bse, tg.mle.jackknife(fewer, groups=SCHOOL).bse
    )
    with pytest.raises(ValueError, match="groups='class' is no column of the data"):
        tg.mle.jackknife(result, groups="class")


def test_a_traced_function_takes_its_columns_of_a_table() -> None:
    traced = tg.trace(line, START, data=dict(y=np.zeros(N), age=AGE))
    np.testing.assert_allclose(fit(traced, START, data=FULL).x, fit(line, START, data=FULL).x)


def test_effects_of_texts() -> None:
    def predicted(u: Any, b: Any, age: Any, school: Any) -> Any:
        return u[school] + b * age

    result = fit(schools, dict(u=np.zeros(3), b=0.0), data=FULL)
    effects = result.effects(predicted, dict(school=["north", "west"]))
    assert effects.names == ("school: west - north",)
    assert effects.x[0] == pytest.approx(result.params["u"][2] - result.params["u"][1])


# Names in listings ------------------------------------------------------------------------------------------


def test_columns_and_slices_keep_their_names_in_listings() -> None:
    f = FULL
    matrix = np.column_stack([Y, AGE])

    def loglik(a: Any, b: Any) -> Any:
        linear = a * f["age"] + b * matrix[:, 0]
        return ((f.y - linear) * f["age"].to_numpy() + matrix[1:4, 1].sum() * b).sum()

    listing = str(tg.trace(loglik, START).tape)
    assert re.search(r'mul +a, f\["age"\]', listing)
    assert re.search(r"mul +b, matrix\[:, 0\]", listing)
    assert re.search(r"sub +f\.y, %", listing)
    assert re.search(r'mul +%\d+, f\["age"\]\.to_numpy\(\)', listing)
    assert 'data f["age"][30], matrix[:, 0][30]' in listing


def test_an_expression_that_gives_something_else_is_no_name() -> None:
    f = FULL

    def loglik(a: Any, b: Any) -> Any:
        return (a * np.flip(f["age"].to_numpy()) + b).sum()

    assert 'f["age"]' not in str(tg.trace(loglik, START).tape).split("->")[1]
