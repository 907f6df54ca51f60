"""Fits against results that others have certified or published; see `python -m benchmarks --references`."""

from typing import Any

import numpy as np
import pytest
from scipy.special import betaln, expit, xlog1py, xlogy

from benchmarks import nist, references, regressions
from benchmarks.__main__ import main
from benchmarks.lre import Check, log_relative_error
from tapegrad.mle import fit
from tapegrad.mle.resample.simulation import expected_information


@pytest.mark.parametrize("start", [0, 1], ids=["start 1", "start 2"])
@pytest.mark.parametrize("name", nist.CURVES)
def test_the_certified_regressions_of_nist(name: str, start: int) -> None:
    checks = list(nist.compare(nist.load(name), start))
    assert len(checks) >= 3
    assert all(check.holds for check in checks), checks


@pytest.mark.parametrize("case", regressions.CASES)
def test_published_regressions(case: str) -> None:
    if case == "binary":
        pytest.importorskip("statsmodels")
    checks = list(regressions.CASES[case]())
    assert checks
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]


def test_standard_errors_that_others_take_from_the_expected_information() -> None:
    # R's betareg; they differ from the observed ones in the second or third digit.
    data = regressions.load("foodexpenditure")
    x = np.column_stack([np.ones(data["food"].size), data["income"], data["persons"]])

    def share(beta: Any, log_phi: Any, y: Any) -> Any:
        mean, precision = expit(x @ beta), np.exp(log_phi)
        a, b = mean * precision, (1.0 - mean) * precision
        return xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b)

    start = {"beta": np.zeros(3), "log_phi": 0.0}
    result = fit(share, start, data={"y": data["food"] / data["income"]})
    points, widths = np.polynomial.legendre.leggauss(100)
    information = expected_information(result, outcomes={"y": 0.5 * (points + 1.0)}, widths=0.5 * widths)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    errors[3] *= np.exp(result.x[3])
    stored = regressions.STORED["beta_food"]["bse"]
    assert log_relative_error(errors, stored) > 6.5
    assert log_relative_error(result.bse[:3], stored[:3]) < 3.0


def test_there_are_27_problems_with_all_their_data() -> None:
    problems = [nist.load(name) for name in nist.CURVES]
    assert len(problems) == 27
    for problem in problems:
        degrees = problem.y.size - problem.estimates.size
        residuals = problem.y - problem.curve(problem.x, *problem.estimates)
        if problem.name != "Lanczos1":  # whose residuals are rounding
            digits = log_relative_error(np.sqrt(residuals @ residuals / degrees), problem.residual_sd)
            assert digits > 5, problem.name


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Check("one", "estimates", 9.3, 8.0), Check("two", "errors", float("nan"), 8.0)]
    monkeypatch.setattr(references, "checks", lambda: iter(made[:1]))
    assert main(["--references"]) == 0
    assert "all of them hold" in capsys.readouterr().out
    monkeypatch.setattr(references, "checks", lambda: iter(made))
    assert main(["--references"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["one", "estimates", "9.3", "8.0"]
    assert lines[2].split() == ["two", "errors", "nan", "8.0", "FAILS"]
    assert lines[3] == "1 of them fail"


def test_log_relative_errors() -> None:
    assert log_relative_error(2.0, 2.0) == 16.0
    assert log_relative_error([1.01, 2.0], [1.0, 2.0]) == pytest.approx(2.0)
    assert log_relative_error(1e-5, 0.0) == pytest.approx(5.0)
    assert not Check("", "", log_relative_error(np.nan, 1.0), 1.0).holds
