"""Tables of coefficients: of one fit, and of several side by side, in every form that there is."""

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tapegrad import compare, fit
from tapegrad.mle import FitResult, Table, load, save, side_by_side
from tapegrad.mle.notices import ConvergenceWarning, StandardErrorWarning
from tapegrad.stats import norm, poisson

X = np.random.default_rng(5).normal(size=60)
Y = np.random.default_rng(6).poisson(np.exp(0.3 + 0.4 * X))


def slopes(const: Any, x: Any) -> Any:
    return poisson.logpmf(Y, np.exp(const + x * X))


def constant(const: Any) -> Any:
    return poisson.logpmf(Y, np.exp(const + 0.0 * X))


@pytest.fixture(scope="module")
def both() -> tuple[FitResult, FitResult]:
    return fit(constant, dict(const=0.0)), fit(slopes, dict(const=0.0, x=0.0), cov_type="HC0")


def cells(table: Table) -> list[list[str]]:
    """The body of its HTML."""
    tree = ElementTree.fromstring(f"<body>{table.as_html().replace('<br>', '<br/>')}</body>")
    return [[cell.text or "" for cell in line] for line in tree.findall(".//tbody/tr")]


# One fit ----------------------------------------------------------------------------------------------------


def test_what_the_table_tells_besides_coefficients(both: tuple[FitResult, FitResult]) -> None:
    first, *_, last = str(both[1].summary()).splitlines()
    assert first == "Maximum likelihood fit: slopes    method: bfgs    covariance: HC0"
    assert "No. observations: 60" in str(both[1].summary())
    assert both[1].seconds is not None
    assert both[1].seconds > 0.0
    assert last == f"Converged in {both[1].seconds:.2g} s and {both[1].nit} iterations"


def test_intervals_in_the_table_are_those_of_conf_int(both: tuple[FitResult, FitResult]) -> None:
    table = both[1].summary(alpha=0.1)
    assert table.header[5:7] == ("5 %", "95 %")
    shown = np.array([row[5:7] for row in table.rows], dtype=float)
    np.testing.assert_allclose(shown, both[1].conf_int(0.1), atol=5e-7)
    assert both[1].summary(alpha=0.001).header[5:7] == ("0.05 %", "99.95 %")
    with pytest.raises(ValueError, match="alpha is one minus the confidence level"):
        both[1].summary(alpha=95)


def test_stars_can_be_left_out(both: tuple[FitResult, FitResult]) -> None:
    assert "***" in str(both[1].summary())
    table = both[1].summary(stars=False)
    assert "*" not in str(table)
    assert "Signif" not in str(table)
    assert len(table.header) == 5
    assert r"\begin{tabular}{lrrrr}" in table.as_latex()


def test_a_column_has_one_format() -> None:
    result = fit(lambda a, b: -((a - 1.0) ** 2) - (1e2 * (b - 2e5)) ** 2, dict(a=0.0, b=1.0))
    name, *columns = zip(*result.summary(alpha=0.05, stars=False).rows, strict=True)
    assert name == ("a", "b")
    for column in (columns[:3], columns[4:]):
        for texts in column:
            assert len({len(text.partition(".")[2]) for text in texts}) == 1


def test_fixed_parameters_have_no_interval() -> None:
    held = fit(slopes, dict(const=0.5, x=0.0), fixed="const")
    assert held.summary(0.05).rows[0] == ("const", "0.500000", "fixed", "", "", "", "", "")


def test_markdown_shows_the_same_cells(both: tuple[FitResult, FitResult]) -> None:
    table = both[1].summary(alpha=0.05)
    lines = [line for line in table.as_markdown().splitlines() if line.startswith("|")]
    assert set(lines[1]) == set("|:- ")
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(line) for line in found} == {len(table.header)}
    plain = [[re.sub(r"\\(.)", r"\1", cell) for cell in line] for line in (found[0], *found[2:])]
    assert plain == [list(table.header), *map(list, table.rows)]


def test_names_are_only_text_in_markdown() -> None:
    table = Table(("", "n"), (("<b>a|b*`", "1"), ("[x](y)", "2")), title="t", notes=("one", "two"))
    body = table.as_markdown().splitlines()
    assert body[4] == r"| \<b\>a\|b\*\` | 1 |"
    assert body[5] == r"| \[x\](y) | 2 |"
    assert body[-2:] == ["one<br>", "two"]
    # After the end of a line, TeX would take these for its options.
    assert "\n{}[x](y) & 2" in table.as_latex()


def test_the_time_is_kept_in_files(both: tuple[FitResult, FitResult], tmp_path: Any) -> None:
    save(both[1], tmp_path / "fit.json")
    back = load(tmp_path / "fit.json")
    assert isinstance(back, FitResult)
    assert str(back) == str(both[1])
    assert back.to_dict()["seconds"] == both[1].seconds


# Several ----------------------------------------------------------------------------------------------------


def test_side_by_side_has_every_name_once(both: tuple[FitResult, FitResult]) -> None:
    table = side_by_side(*both)
    assert table.header == ("", "constant", "slopes")
    body = cells(table)
    assert [line[0] for line in body[:4]] == ["const", "", "x", ""]
    assert body[2][1] == body[3][1] == ""
    for column, result in enumerate(both, 1):
        for name, x, se in zip(result.names, result.x, result.bse, strict=True):
            at = next(i for i, line in enumerate(body) if line[0] == name)
            assert float(body[at][column].rstrip("*.")) == pytest.approx(x, abs=6e-4)
            assert float(body[at + 1][column].strip("()")) == pytest.approx(se, abs=6e-4)
    foot = {line[0]: line[1:] for line in body[4:]}
    assert foot["Observations"] == ["60", "60"]
    assert foot["Covariance"] == ["nonrobust", "HC0"]
    np.testing.assert_allclose(np.array(foot["AIC"], float), [one.aic for one in both], atol=6e-3)
    np.testing.assert_allclose(np.array(foot["Log-likelihood"], float), [one.llf for one in both], atol=6e-3)


def test_a_comparison_has_its_fits_side_by_side(both: tuple[FitResult, FitResult]) -> None:
    table = compare(*both, names=["one", "two"]).side_by_side()
    assert table.header == ("", "one", "two")  # as they were given, not the best first
    assert str(table) == str(side_by_side(*both, names=["one", "two"]))
    assert "*" not in str(compare(*both).side_by_side(stars=False))
    latex = table.as_latex()
    assert latex.startswith("\\begin{tabular}{lrr}\n\\hline\n & one & two \\\\\n\\hline\n")
    assert latex.count("\\hline") == 4
    assert compare(*both).as_latex().count("&") == 7 * 3
    assert compare(*both).as_markdown().count("\n") == 3


def test_weights_of_another_criterion(both: tuple[FitResult, FitResult]) -> None:
    table = compare(*both, by="bic")
    bic = np.array([one.bic for one in both])
    expected = np.sort(np.exp(-0.5 * (bic - bic.min())))[::-1]
    np.testing.assert_allclose(table.weights, expected / expected.sum())
    assert table.table().header[-2:] == ("dBIC", "weight")
    with pytest.raises(ValueError, match="by is one of aic, aicc, bic, not 'dic'"):
        compare(*both, by="dic")
    unknown = [fit(lambda a: -(a**2), dict(a=1.0)) for _ in range(2)]
    with pytest.raises(ValueError, match="BIC needs the number of observations"):
        compare(*unknown, by="bic")


def test_points_stand_below_each_other(both: tuple[FitResult, FitResult]) -> None:
    lines = str(side_by_side(both[1])).splitlines()[1:5]
    assert len({line.index(".") for line in lines}) == 1


def test_small_errors_have_digits_and_what_is_no_maximum_no_stars() -> None:
    small = fit(lambda a: -((1e4 * (a - 1.0)) ** 2), dict(a=0.9))
    assert cells(side_by_side(small))[1][1] == "(0.000071)"
    with pytest.warns((ConvergenceWarning, StandardErrorWarning)):
        flat = fit(lambda a, b: norm.logpdf(X, a + b).sum(), dict(a=0.1, b=0.1), nobs=60)
    table = side_by_side(flat, small)
    assert cells(table)[-1] == ["Covariance", "NOT CONVERGED", "nonrobust"]
    assert cells(table)[-2][2] == "unknown"
    with pytest.raises(ValueError, match="takes one fit or more"):
        side_by_side()
    with pytest.raises(ValueError, match="1 fits need 1 names, not 2"):
        side_by_side(small, names=["a", "b"])
