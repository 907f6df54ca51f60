"""`tapegrad fit` on files as people have them, by formulas, and what goes around it: doctor, completion."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import tapegrad as tg
from tapegrad.cli import main
from tapegrad.mle import FitResult, regression

MODEL = """
import numpy as np
from tapegrad.stats import norm

def normal(mu, sigma, x):
    return norm.logpdf(x, mu, sigma)

def grouped(mu, x, sex):
    return norm.logpdf(x, mu[sex], 1.0)

def helper(x):
    return x
"""
RNG = np.random.default_rng(8)
N = 120
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(size=N).round(3),
        "sex": np.array(["f", "m"])[RNG.integers(0, 2, N)],
        "site": RNG.integers(1, 4, N),
    }
)
MEAN = 0.2 + 0.5 * TABLE["age"] + 0.4 * (TABLE["sex"] == "m")
TABLE["visits"] = RNG.poisson(np.exp(MEAN))
TABLE["sick"] = (RNG.uniform(size=N) < 1.0 / (1.0 + np.exp(-MEAN))).astype(int)
TABLE["cost"] = RNG.gamma(2.0, np.exp(MEAN) / 2.0)
TABLE["score"] = MEAN + RNG.normal(size=N)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "data.csv").write_text("x,sex\n1.5,f\n2.5,m\n,f\n4.0,f\n6.0,m\n")
    (tmp_path / "whole.csv").write_text("x,sex\n1.5,f\n2.5,m\n4.0,f\n6.0,m\n")
    TABLE.to_csv(tmp_path / "visits.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a fit prints as JSON."""
    assert main(["fit", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def estimates(found: dict[str, Any]) -> list[float]:
    return [one["estimate"] for one in found["params"].values()]


NORMAL = ("model.py:normal", "--start", "mu=0", "sigma=1", "--transform", "sigma=positive")


# Files ------------------------------------------------------------------------------------------------------


def test_separators_compression_and_starts_in_one_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = estimates(numbers(capsys, *NORMAL, "--data", "whole.csv"))
    np.testing.assert_allclose(expected[0], 3.5)
    text = (folder / "whole.csv").read_text()
    (folder / "tabs.tsv").write_text(text.replace(",", "\t"))
    (folder / "small.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert estimates(numbers(capsys, *NORMAL, "--data", "tabs.tsv", "--sep", "tab")) == expected
    assert estimates(numbers(capsys, *NORMAL, "--data", "small.csv.gz")) == expected
    # The list may stand before the model.
    command = ["fit", "--data", "whole.csv", "--transform", "sigma=positive", "--start", "mu=0", "sigma=1"]
    assert main([*command, "model.py:normal"]) == 0
    assert "mu     3.500000" in capsys.readouterr().out


def test_parquet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    pd.read_csv("data.csv").to_parquet("data.parquet")
    found = numbers(capsys, *NORMAL, "--data", "data.parquet", "--missing", "drop")
    np.testing.assert_allclose(estimates(found)[0], 3.5)
    assert main(["fit", *NORMAL, "--data", "data.parquet"]) == 2
    assert "data.parquet, row 3: x is '', not a number" in capsys.readouterr().err
    (folder / "no.parquet").write_text("x\n1\n")
    assert main(["fit", *NORMAL, "--data", "no.parquet"]) == 2
    assert "no.parquet cannot be read as Parquet" in capsys.readouterr().err


def test_missing_values_and_categories(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "model.py:grouped", "--data", "data.csv", "--start", "mu=0,0"]
    assert main(command) == 2
    assert (
        "line 4: x is '', not a number; --missing drop leaves out such rows (1 here)"
        in capsys.readouterr().err
    )
    assert main([*command, "--missing", "drop"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"mu\[0\] +2\.750000", out)  # f
    assert re.search(r"mu\[1\] +4\.250000", out)
    assert "No. observations: 4 (1 dropped: values are missing)" in out
    assert "sex: 0 = f, 1 = m" in out
    (folder / "coded.csv").write_text("x,sex\n1.5,7\n2.5,3\n4.0,7\n6.0,3\n")
    found = numbers(capsys, *command[1:2], "--data", "coded.csv", "--start", "mu=0,0", "--category", "sex")
    np.testing.assert_allclose(estimates(found), [4.25, 2.75])
    assert found["levels"] == {"sex": ["3", "7"]}


# Options ----------------------------------------------------------------------------------------------------


def test_what_is_kept_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--level", "0.9", "--save", "fit.json", "--html", "fit.html", "--cov-type", "HC3", "--nobs", "40"]
    assert main(["fit", *NORMAL, "--data", "whole.csv", *more]) == 0
    out = capsys.readouterr().out
    assert "covariance: HC3" in out
    assert "5 %" in out
    assert "95 %" in out
    kept = tg.load("fit.json")
    assert isinstance(kept, FitResult)
    assert (kept.nobs, kept.cov_type) == (40, "HC3")
    page = (folder / "fit.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert ">sigma</td>" in page
    assert main(["fit", *NORMAL, "--data", "whole.csv", "--save", "none/fit.json"]) == 2
    assert "none/fit.json cannot be written: No such file or directory" in capsys.readouterr().err


def test_clusters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("--formula", "visits ~ age", "--family", "poisson", "--data", "visits.csv")
    found = numbers(capsys, *command, "--cov-type", "cluster", "--groups", "site")
    theirs = smf.poisson("visits ~ age", TABLE).fit(
        disp=0, cov_type="cluster", cov_kwds=dict(groups=TABLE["site"])
    )
    np.testing.assert_allclose([one["se"] for one in found["params"].values()], theirs.bse, rtol=1e-5)


FAMILIES = {
    "poisson": ("visits", lambda y, X: sm.Poisson(y, X).fit(disp=0)),
    "negbinomial": ("visits", lambda y, X: sm.NegativeBinomial(y, X).fit(disp=0)),
    "logit": ("sick", lambda y, X: sm.Logit(y, X).fit(disp=0)),
    "probit": ("sick", lambda y, X: sm.Probit(y, X).fit(disp=0)),
    "gaussian": ("score", lambda y, X: sm.OLS(y, X).fit()),
    "gamma": ("cost", lambda y, X: sm.GLM(y, X, sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_those_of_statsmodels(family: str) -> None:
    outcome, theirs = FAMILIES[family]
    X = np.column_stack([np.ones(N), TABLE["age"], TABLE["sex"] == "m"]).astype(float)
    y = np.asarray(TABLE[outcome])
    if family == "negbinomial":
        y = RNG.negative_binomial(2.0, 2.0 / (2.0 + np.exp(MEAN)))
    ours = regression("y ~ age + sex", TABLE.assign(y=y), family)
    assert ours.names[:3] == ("Intercept", "age", "sex[T.m]")
    expected = theirs(np.asarray(y), X)
    np.testing.assert_allclose(ours.x[:3], np.asarray(expected.params)[:3], rtol=1e-4, atol=1e-6)
    if family not in ("gamma", "gaussian"):  # which have other ideas of the likelihood of the scale
        np.testing.assert_allclose(ours.llf, expected.llf, rtol=1e-8)
        np.testing.assert_allclose(ours.bse[:3], np.asarray(expected.bse)[:3], rtol=1e-3)


def test_families_that_statsmodels_has_elsewhere() -> None:
    from scipy.special import expit
    from scipy.stats import beta as scipy_beta

    share = expit(TABLE["score"])
    ours = regression("share ~ age", TABLE.assign(share=share), "beta")
    from statsmodels.othermod.betareg import BetaModel

    theirs = BetaModel(share, np.column_stack([np.ones(N), TABLE["age"]])).fit(disp=0)
    np.testing.assert_allclose(ours.x[:2], theirs.params[:2], rtol=1e-4)
    np.testing.assert_allclose(ours.llf, theirs.llf, rtol=1e-8)
    mu, phi = expit(ours.x[0] + ours.x[1] * TABLE["age"]), ours.params["phi"]
    np.testing.assert_allclose(ours.llf, scipy_beta.logpdf(share, mu * phi, (1 - mu) * phi).sum())
    student = regression("score ~ age", TABLE, "student", fixed=dict(df=1e8))
    np.testing.assert_allclose(student.llf, regression("score ~ age", TABLE).llf, rtol=1e-6)


def test_offsets_weights_and_missing_values() -> None:
    exposure = np.linspace(-1.0, 1.0, N)
    table = TABLE.assign(log_years=exposure)
    theirs = sm.GLM(
        TABLE["visits"], np.column_stack([np.ones(N), TABLE["age"]]), sm.families.Poisson(), offset=exposure
    )
    expected = theirs.fit(tol=1e-12)
    for offset in ("log_years", exposure):
        found = regression("visits ~ age", table, "poisson", offset=offset)
        np.testing.assert_allclose(found.x, expected.params, rtol=1e-7)
    some = table.copy()
    some.loc[[2, 5], "age"] = np.nan
    weights = np.linspace(0.5, 1.5, N)
    with pytest.raises(ValueError, match="age"):
        regression("visits ~ age", some, "poisson")
    found = regression("visits ~ age", some, "poisson", missing="drop", weights=weights)
    kept = np.delete(np.arange(N), [2, 5])
    again = regression("visits ~ age", table.iloc[kept], "poisson", weights=weights[kept])
    np.testing.assert_allclose(found.x, again.x, rtol=1e-9)
    assert (found.nobs, found.dropped) == (N - 2, 2)


@pytest.mark.parametrize(
    ("formula", "family", "message"),
    [
        ("score ~ age", "poisson", "family 'poisson' is of counts: 0, 1, 2 and so on, and the outcome"),
        ("visits ~ age", "logit", "family 'logit' is of 0 or 1"),
        ("age", "gaussian", "a formula has two sides"),
        ("sex ~ age", "logit", "the outcome of a regression is one column of numbers"),
        ("visits ~ age", "poison", "no family 'poison': choose one of gaussian"),
    ],
)
def test_regressions_that_there_are_none_of(formula: str, family: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regression(formula, TABLE, family)


# What was meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modle.py:normal", "--start", "mu=0"], "there is no file modle.py (did you mean 'model.py'?)"),
        (["model.py:nromal", "--start", "mu=0"], "'nromal' in model.py (did you mean 'normal'?)"),
        (["model.py:normal", "--start", "mu=0", "sigm=1"], "normal takes no sigm (did you mean 'sigma'?)"),
        ([*NORMAL, "--data", "whol.csv"], "No such file or directory (did you mean 'whole.csv'?)"),
        (
            [*NORMAL, "--data", "whole.csv", "--fixed", "simga"],
            "no parameter 'simga' (did you mean 'sigma'?)",
        ),
        ([*NORMAL, "--data", "whole.csv", "--method", "bfsg"], "(did you mean 'bfgs'?)"),
        ([*NORMAL, "--data", "whole.csv", "--cov-type", "HC9"], "no covariance 'HC9' (did you mean 'HC"),
        ([*NORMAL[:4], "--transform", "sigma=positve"], "(did you mean 'positive'?)"),
        ([*NORMAL, "--data", "whole.csv", "--groups", "sexx"], "no column 'sexx' (did you mean 'sex'?)"),
        ([*NORMAL, "--data", "whole.csv", "--level", "95"], "--level is a confidence level between 0 and 1"),
        ([*NORMAL, "--data", "whole.csv", "--sep", "tabs"], "--sep is one character, or tab, comma"),
        (["--formula", "visits ~ age"], "--formula needs the columns of a file"),
        (
            ["--formula", "visits ~ age", "--data", "visits.csv", "--family", "poison"],
            "did you mean 'poisson'?",
        ),
        (["--formula", "visits ~ aeg", "--data", "visits.csv"], "aeg"),
        (["--start", "mu=0"], "name a model as FILE.py:FUNCTION, or give a --formula"),
        (["model.py:normal"], "give a --start for each parameter"),
        ([*NORMAL, "--family", "poisson"], "--family goes with --formula"),
        (
            ["--formula", "visits ~ age", "--data", "visits.csv", "--start", "a=1"],
            "a --formula has no MODEL.py",
        ),
    ],
)
def test_what_was_meant(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["fit", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tapegrad fit: error: ")
    assert message in err


# Around it --------------------------------------------------------------------------------------------------


def test_doctor_says_what_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"tapegrad {tg.__version__}\nPython ")
    assert f"numpy {np.__version__}" in out
    assert "backend 'c': " in out
    assert "cache of compiled code: " in out
    assert re.search(r"^pandas +\d", out, re.M)


def test_doctor_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tapegrad.cli import doctor

    monkeypatch.setitem(doctor.PARTS, "no_such_part", ("miracles", "miracles"))
    monkeypatch.setattr(doctor, "compiler", lambda: None)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "no_such_part missing    for miracles: python -m pip install miracles" in out
    assert "backend 'c': cannot be used: " in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    for word in ("fit", "show", "doctor", "cov-type", "missing", "clear"):
        assert word in out


def test_bash_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (folder / "completion.sh").write_text(capsys.readouterr().out)
    asked = (
        'source completion.sh; COMP_WORDS=(tapegrad {}); COMP_CWORD={}; _tapegrad; echo "${{COMPREPLY[@]}}"'
    )
    for words, place, expected in (
        ("fi", 1, "fit"),
        ("fit --mi", 2, "--missing"),
        ("fit whol", 2, "whole.csv"),
    ):
        done = subprocess.run(
            ["bash", "-c", asked.format(words, place)], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [expected]


def test_what_is_imported_before_it_is_needed() -> None:
    code = "import sys, tapegrad.cli; sys.exit(bool({'pandas', 'pyarrow', 'formulaic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_reader_that_stops_is_no_error() -> None:
    command = f"{sys.executable} -m tapegrad doctor | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("tapegrad ")
    assert done.stderr == ""
