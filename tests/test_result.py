"""What a result shows and gives away: tables, names, numbers for others."""

import inspect
import json
import re
import sys
import warnings
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.special import expit

from tapegrad import NonFiniteWarning
from tapegrad.mle import FitResult, StandardErrorWarning, fit, influence, scores
from tapegrad.mle.transforms import positive, simplex
from tapegrad.stats import bernoulli, norm, poisson

DOSE = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0])
DAMAGED = np.array([18.0, 13.0, 20.0, 11.0, 9.0, 8.0, 5.0, 6.0, 3.0, 2.0, 4.0, 1.0])
DESIGN = np.column_stack([np.ones(12), DOSE])


def regression(beta: Any) -> Any:
    return poisson.logpmf(DAMAGED, np.exp(DESIGN @ beta))


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit(regression, {"beta": np.zeros(2)}).renamed(beta=["const", "dose"])


@pytest.fixture(scope="module")
def scaled() -> FitResult:
    """With a constraint, and a parameter held at 0."""

    def loglik(mu: Any, sigma: Any, shift: Any) -> Any:
        return norm.logpdf(DAMAGED, mu + shift * DOSE, sigma)

    start = {"mu": 1.0, "sigma": 1.0, "shift": 0.0}
    return fit(loglik, start, transforms={"sigma": positive}, fixed="shift")


@pytest.fixture(scope="module")
def flat() -> FitResult:
    with pytest.warns(StandardErrorWarning):
        return fit(lambda a, b: -((a + b - 1.0) ** 2), {"a": 1.0, "b": 2.0})


@pytest.fixture(scope="module")
def separated() -> FitResult:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(lambda slope: bernoulli.logpmf((x > 0.0) * 1.0, expit(slope * x)), {"slope": 0.0})


def test_the_names_of_statsmodels_mean_the_same() -> None:
    sm = pytest.importorskip("statsmodels.api")
    theirs = sm.Poisson(DAMAGED, DESIGN).fit(disp=0, method="newton", tol=1e-12)
    ours = fit(regression, {"beta": np.zeros(2)})
    for name in ("bse", "tvalues", "pvalues", "llf", "aic", "bic", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-7, err_msg=name)
    np.testing.assert_allclose(ours.params["beta"], theirs.params, rtol=1e-9)
    np.testing.assert_allclose(ours.cov_params(), theirs.cov_params(), rtol=1e-7)
    np.testing.assert_allclose(ours.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-7)
    assert ours.df_model == theirs.df_model + 1  # who do not count the constant
    assert callable(ours.summary)


# The table --------------------------------------------------------------------------------------------------


def test_a_result_shows_its_table(result: FitResult) -> None:
    assert repr(result) == str(result) == str(result.summary())
    assert repr([result]) == f"[{result}]"


def test_what_is_no_maximum_has_no_stars(separated: FitResult, flat: FitResult) -> None:
    for bad in (separated, flat):
        table = str(bad)
        assert "*" not in table
        assert "Signif" not in table
        assert table.endswith("\ndiagnose() says more")
        assert "not converged:" not in table  # which NOT CONVERGED says already
        assert "NOT CONVERGED after" in table


def test_errors_with_few_right_digits_are_pointed_out() -> None:
    z = DOSE + 1e-5 * np.sin(np.arange(12.0))
    near = fit(lambda a, b: norm.logpdf(DAMAGED, a * DOSE + b * z), {"a": 0.0, "b": 0.0})
    assert near.converged
    assert not near.se_reliable
    assert str(near).endswith("\nThe standard errors have few right digits: diagnose() says why")


def test_zeros_have_no_sign_and_small_numbers_their_digits() -> None:
    zero = fit(lambda a: -0.5 * (a + 1e-9) ** 2, 1.0)
    assert zero.x[0] < 0.0
    assert str(zero).splitlines()[2].split()[1:4] == ["0.000000", "1.000000", "0.000"]
    with pytest.warns(StandardErrorWarning):
        small = fit(lambda a, b: -((1e6 * (a + b) - 1.0) ** 2), {"a": 3e-7, "b": 2e-7})
    for name, x in zip(small.names, small.x, strict=True):
        assert re.search(rf"^{name} +{re.escape(f'{x:.5e}')} +nan", str(small), re.M)


def test_html_is_well_formed(result: FitResult, scaled: FitResult, flat: FitResult) -> None:
    for item in (result, scaled, flat):
        html = item._repr_html_()
        tree = ElementTree.fromstring(f"<body>{html}</body>")
        lines = tree.findall(".//tbody/tr")
        assert [line[0].text for line in lines] == list(item.names)
        assert all(len(line) == 6 for line in lines)
        texts = [division.text for division in tree.findall("div")]
        text = str(item.summary()).splitlines()
        assert texts == [text[0], *text[text.index("---") + 1 :]]


def test_latex_is_a_table_that_stands_by_itself(result: FitResult, flat: FitResult) -> None:
    latex = result.summary().as_latex()
    lines = latex.splitlines()
    assert lines[0] == "% Maximum likelihood fit: regression method: bfgs covariance: nonrobust"
    assert lines[1] == r"\begin{tabular}{lrrrrl}"
    assert lines[-1] == r"\end{tabular}"
    cells = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert all(line.count("&") == 5 for line in cells)
    assert r"dose & $-$0.477280 & 0.078282 & $-$6.097 & 1.08e$-$09 & *** \\" in cells
    assert r"\multicolumn{6}{l}{\footnotesize Log-likelihood: $-$24.97\quad AIC: 53.93" in latex
    assert latex.count(r"\hline") == 3
    assert "NOT CONVERGED after" in flat.summary().as_latex()


def test_names_cannot_break_out_of_latex() -> None:
    def loglik(**p: Any) -> Any:
        return -(p["50%_&{x}~^\\$#"] ** 2)

    loglik.__name__ = "f\n\\input{secret}"
    latex = fit(loglik, {"50%_&{x}~^\\$#": 1.0}).summary().as_latex()
    assert (
        latex.splitlines()[0]
        == r"% Maximum likelihood fit: f \input{secret} method: bfgs covariance: nonrobust"
    )
    name = r"50\%\_\&\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}\$\#"
    assert f"\n{name} & " in latex


# Names ------------------------------------------------------------------------------------------------------


def test_other_names(result: FitResult, scaled: FitResult) -> None:
    assert result.names == ("const", "dose")
    assert result.free_names == ("const", "dose")
    np.testing.assert_allclose(result.wald_test("dose = 0").statistic, result.zvalues[1] ** 2)
    assert result.profile("dose").name == "dose"
    assert list(result.to_dict()["params"]) == ["const", "dose"]
    assert result.params.keys() == {"beta"}  # which `loglik` takes
    assert scaled.free_names == ("mu", "log(sigma)")
    named = scaled.renamed(sigma="spread", mu=["centre"])
    assert named.names == ("centre", "spread", "shift")
    assert named.free_names == ("centre", "log(spread)")
    weights = fit(
        lambda w: (np.array([3.0, 5.0, 2.0]) * np.log(w)).sum(), {"w": np.full(3, 1 / 3)}, transforms=simplex
    )
    assert weights.renamed(w=["x", "y", "z"]).free_names == ("log ratio(w)[0]", "log ratio(w)[1]")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"gamma": ["x"]}, "gamma has 0 elements, not 1; there are const, dose"),
        ({"const": ["x", "y"]}, "const has 1 elements, not 2"),
        ({"const": "dose"}, "two parameters cannot have one name: dose, dose"),
    ],
)
def test_names_that_do_not_fit(result: FitResult, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        result.renamed(**names)


# For others -------------------------------------------------------------------------------------------------


def test_everything_in_a_dict(result: FitResult, scaled: FitResult, flat: FitResult) -> None:
    numbers = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    for name, value in numbers.items():
        if name not in ("params", "cov_params"):
            assert value == getattr(result, name), name
    for name in ("nfev", "njev", "nhev", "nit", "message", "se_reliable", "df_resid"):
        assert name in numbers
    columns = np.array([list(line.values()) for line in numbers["params"].values()])
    expected = [result.x, result.bse, result.zvalues, result.pvalues, *result.conf_int().T, [False, False]]
    np.testing.assert_array_equal(columns.T, expected)
    shift = scaled.to_dict()["params"]["shift"]
    assert shift == {
        **{"estimate": 0.0, "se": 0.0, "z": None, "p": None, "low": 0.0, "high": 0.0},
        "fixed": True,
    }
    json.dumps(flat.to_dict(), allow_nan=False)


def test_what_is_labelled(result: FitResult, scaled: FitResult) -> None:
    pandas = pytest.importorskip("pandas")
    for name in ("params", "bse", "std_errors", "zvalues", "tvalues", "pvalues"):
        series = getattr(scaled.labelled, name)
        expected = scaled.x if name == "params" else getattr(scaled, name)
        pandas.testing.assert_series_equal(series, pandas.Series(expected, ["mu", "sigma", "shift"]))
    frame = scaled.labelled.scores()
    assert list(frame.columns) == ["mu", "log(sigma)"]
    np.testing.assert_array_equal(frame, scores(scaled))
    frame = scaled.labelled.influence()
    assert list(frame.columns) == ["mu", "sigma", "shift"]
    np.testing.assert_array_equal(frame, influence(scaled))
    frame, curve = result.labelled.profile("dose", 0.1), result.profile("dose", 0.1)
    assert list(frame.columns) == ["const", "dose", "llf", "root"]
    np.testing.assert_array_equal(frame["dose"], curve.values)
    np.testing.assert_array_equal(frame["root"], curve.roots)


def test_arrays_where_pandas_is_missing(scaled: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    np.testing.assert_array_equal(scaled.labelled.std_errors, scaled.bse)
    np.testing.assert_array_equal(scaled.labelled.scores(), scores(scaled))
    np.testing.assert_array_equal(scaled.labelled.profile("mu")[:, 0], scaled.profile("mu").values)


def test_a_parameter_held_at_zero_is_no_division(scaled: FitResult) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(scaled.zvalues[2])
        assert np.isnan(scaled.pvalues[2])


def test_the_eigenvalues_behind_a_diagnosis(result: FitResult, flat: FitResult) -> None:
    good, bad = result.diagnose(), flat.diagnose()
    information = result.observed_info
    scale = np.sqrt(np.diag(information))
    correlations = information / np.outer(scale, scale)
    np.testing.assert_allclose(good.eigenvalues, np.linalg.eigvalsh(correlations), rtol=1e-12)
    np.testing.assert_allclose(good.condition, np.linalg.cond(correlations), rtol=1e-10)
    assert (good.rank, bad.rank) == (2, 1)
    assert bad.condition > 1e10


# Verbs ------------------------------------------------------------------------------------------------------


def test_every_verb_has_its_own_docstring_and_signature() -> None:
    verbs = {name: verb for name, verb in vars(FitResult).items() if inspect.isfunction(verb)}
    public = {name: verb for name, verb in verbs.items() if not name.startswith("_")}
    assert {"conf_int", "delta", "diagnose", "lr_test", "profile", "save", "summary", "wald_test"} <= set(
        public
    )
    for name, verb in public.items():
        assert verb.__doc__, name
    assert FitResult.__doc__ is not None
    assert "observed_info" in FitResult.__doc__


def test_a_derivative_that_is_nan_is_told() -> None:
    result = fit(lambda a, b: -((a + b - 1.0) ** 2), {"a": 0.5, "b": 0.0}, fixed="b")
    with pytest.warns(NonFiniteWarning, match="NaN"):
        derived = result.delta(lambda a, b: a + b * np.sqrt(b))
    assert np.isnan(derived.jacobian).any()
