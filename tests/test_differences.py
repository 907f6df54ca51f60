"""What docs/differences.md says of tapegrad, row by row; what it says of others is in findings/."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_ndtr

import tapegrad as tg
from benchmarks import nist
from tapegrad.stats import expon, nbinom, norm, poisson

ROOT = Path(__file__).parents[1]
Y = np.array([0.3, 1.2, 0.7, 2.5, 0.9])


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return table[1:]


def test_every_row_names_a_version_and_a_test_and_a_script_that_exists() -> None:
    assert len(rows()) >= 15
    for library, surprise, ours, script, test in rows():
        assert re.search(r"\d+\.\d+", library), library
        assert surprise
        assert ours
        named = test.strip("`")
        assert (ROOT / "tests" / named).exists() if named.endswith(".py") else f"test_{named}" in globals()
        assert not script or (ROOT / "findings" / f"{script.strip('`')}.sh").exists()


def test_every_script_has_a_row_and_says_what_it_shows() -> None:
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    assert {file.stem for file in scripts} == {row[3].strip("`") for row in rows()} - {""}
    for file in scripts:
        head = file.read_text(encoding="utf-8").splitlines()[:12]
        assert head[1].startswith("# Version: ")
        assert "# Output:" in head
        assert os.access(file, os.X_OK)
        assert "tapegrad" not in file.read_text(encoding="utf-8")


def test_abs() -> None:
    assert tg.trace(np.abs, 1.0).grad(0.0) == 0.0
    assert tg.trace(lambda x: np.abs(x).sum(), np.ones(3)).grad([0.0, -1.0, 2.0]).tolist() == [0.0, -1.0, 1.0]


def test_power_zero() -> None:
    for power in (0.0, 0, np.float64(0.0), np.zeros(())):
        traced = tg.trace(lambda x, power=power: x**power, 1.0)
        assert (traced(0.0), traced.grad(0.0), traced.hessian(0.0)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("x", [-30.0, -1e3, -1e5, -1e8, -1e10, -1e154])
def test_log_ndtr(x: float) -> None:
    # The ratio of density and probability: -x + 1 / (-x) - 2 / (-x)**3 + 10 / (-x)**5 - ...
    with mpmath.workdps(60):
        t = -mpmath.mpf(x)
        terms = [(-1) ** k * mpmath.fac2(2 * k - 1) / t ** (2 * k) for k in range(20)]
        expected = float(t / mpmath.fsum(terms))
    np.testing.assert_allclose(tg.trace(log_ndtr, 1.0).grad(x), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_norm(n: int) -> None:
    traced = tg.trace(np.linalg.norm, np.ones(n))
    np.testing.assert_array_equal(traced.grad(np.zeros(n)), np.zeros(n))
    np.testing.assert_allclose(traced.grad(np.full(n, 3.0)), np.full(n, n**-0.5))


def test_where() -> None:
    traced = tg.trace(lambda x: np.where(x > 0.0, np.log(x), 0.0).sum(), np.ones(2))
    np.testing.assert_array_equal(traced.grad([0.0, 4.0]), [0.0, 0.25])


@pytest.mark.parametrize("start", [3.0, 10.0, 30.0, 100.0])
def test_infinity(start: float) -> None:
    def loglik(rate: Any) -> Any:
        return np.where(rate > 0.0, Y.size * np.log(rate) - rate * Y.sum(), -np.inf)

    result = tg.fit(loglik, {"rate": start}, "L-BFGS-B")
    assert result.converged
    np.testing.assert_allclose(result.x, 1.0 / Y.mean(), rtol=1e-8)


@pytest.mark.parametrize("method", ["COBYLA", "bfgs", "newton"])
def test_nan_start(method: str) -> None:
    def loglik(mu: Any, sigma: Any) -> Any:
        return (-np.log(sigma) - 0.5 * ((Y - mu) / sigma) ** 2).sum()

    with pytest.raises(ValueError, match=r"nan at the start \(mu=2, sigma=-1\)[^`]*log\(sigma\) at .*:\d+"):
        tg.fit(loglik, {"mu": 2.0, "sigma": -1.0}, method)


def test_start_as_fit() -> None:
    problem = nist.load("MGH17")
    result = nist.solve(problem, 0)
    assert result.converged
    assert all(check.holds for check in nist.compare(problem, 0))


@pytest.mark.parametrize("x", [1e3, 1e8, 1e150])
def test_far_tails(x: float) -> None:
    np.testing.assert_allclose(tg.trace(expon.logpdf, x)(x), -x, rtol=1e-15)
    np.testing.assert_allclose(
        tg.trace(norm.logpdf, x)(x), -0.5 * x * x - 0.5 * np.log(2.0 * np.pi), rtol=1e-15
    )
    laplace = tg.trace(lambda x: -np.abs(x) - np.log(2.0), 1.0)
    assert (laplace(x), laplace.grad(x)) == (-x - np.log(2.0), -1.0)


@pytest.mark.parametrize("x", [-3.0, 20.0, 1e7, 1e8, 1e12])
def test_cancellation(x: float) -> None:
    a, b = 1.0, 10.0

    def skewed(x: Any) -> Any:
        # 1 + x / s and 1 - x / s, less a constant, without the difference of numbers that are nearly equal
        s = np.sqrt(a + b + x * x)
        far = (a + b) / (s * (s + np.abs(x)))
        near = 1.0 + np.abs(x) / s
        up, down = np.where(x > 0.0, near, far), np.where(x > 0.0, far, near)
        return (a + 0.5) * np.log(up) + (b + 0.5) * np.log(down)

    def exact(x: Any) -> Any:
        share = x / mpmath.sqrt(a + b + x * x)
        return (a + 0.5) * mpmath.log(1 + share) + (b + 0.5) * mpmath.log(1 - share)

    traced = tg.trace(skewed, 1.0)
    with mpmath.workdps(60):
        value, slope = (
            float(exact(mpmath.mpf(x))),
            float(mpmath.diff(exact, mpmath.mpf(x), h=mpmath.mpf(10) ** -15)),
        )
    np.testing.assert_allclose(traced(x), value, rtol=1e-14)
    np.testing.assert_allclose(traced.grad(x), slope, rtol=1e-12)


def test_probabilities() -> None:
    np.testing.assert_allclose(nbinom.logpmf(3, 1e15, 1e15 / (1e15 + 5.0)), -1.961848135029557, rtol=1e-12)


def test_no_rows() -> None:
    table = pd.DataFrame({"y": [1.0, 2.0, 3.0, 4.0], "x": [1.0, 2.0, np.nan, 4.0]})
    formulaic = pytest.importorskip("formulaic")

    def loglik(beta: Any, design: Any, y: Any) -> Any:
        return poisson.logpmf(y, np.exp(design @ beta))

    for term in ("scale", "center"):
        y, design = formulaic.model_matrix(f"y ~ {term}(x)", table)
        with pytest.raises(
            ValueError, match=rf"no data: design, y has no elements. Its column {term}\(x\) is"
        ):
            tg.fit(loglik, {"beta": np.zeros(2)}, data={"design": design, "y": y["y"]})
        with pytest.raises(ValueError, match=rf"{term}\(x\)` contains null"):
            formulaic.model_matrix(f"y ~ {term}(x)", table, na_action="raise")
        y, design = formulaic.model_matrix(f"y ~ {term}(x)", table.dropna(), na_action="raise")
        result = tg.fit(
            loglik, {"beta": np.zeros(2)}, data={"design": design.to_numpy(), "y": y["y"].to_numpy()}
        )
        assert result.nobs == 3


def test_aic() -> None:
    dice = np.random.default_rng(0)
    X = dice.normal(size=(100, 2))
    y = dice.poisson(np.exp(X @ [0.3, 0.5]))
    ours = tg.fit(lambda beta: poisson.logpmf(y, np.exp(X @ beta)), np.zeros(2))
    theirs = pytest.importorskip("statsmodels.api").Poisson(y, X).fit(disp=0)
    np.testing.assert_allclose([ours.llf, ours.aic], [theirs.llf, theirs.aic], rtol=1e-10)
    np.testing.assert_allclose(ours.aic, 4.0 - 2.0 * ours.llf, rtol=1e-14)


@pytest.mark.parametrize("factor", [1.0, 7.0, np.pi, 1e3, 1e-3])
def test_collinear(factor: float) -> None:
    def loglik(a: Any, b: Any) -> Any:
        return norm.logpdf(Y, a + factor * b, 1.0).sum()

    with pytest.warns(tg.StandardErrorWarning):
        result = tg.fit(loglik, {"a": 0.3, "b": 0.1})
    assert np.isnan(result.bse).all()
    assert "flat" in result.diagnose().kinds


def test_small_parameters() -> None:
    counts = Y * 1e6
    result = tg.fit(lambda rate: counts.size * np.log(rate) - rate * counts.sum(), {"rate": 2e-6})
    rate = counts.size / counts.sum()
    np.testing.assert_allclose(result.x, [rate], rtol=1e-8)
    np.testing.assert_allclose(result.observed_info, [counts.size / result.x**2], rtol=1e-14)
    np.testing.assert_allclose(result.bse, result.x / np.sqrt(counts.size), rtol=1e-14)


def test_triangles() -> None:
    A = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
    b = np.array([1.0, 2.0, 3.0])
    solve = tg.trace(lambda A: np.linalg.solve(A, b), A)
    for matrix in (A, np.tril(A), np.triu(A)):
        np.testing.assert_array_equal(solve(matrix), np.linalg.solve(matrix, b))
    factor = tg.trace(lambda A: np.log(np.diag(np.linalg.cholesky(A))).sum(), A)
    for matrix in (A, np.tril(A)):  # the slope goes to the triangle that is read
        np.testing.assert_allclose(factor(matrix), 0.5 * np.linalg.slogdet(A)[1])
        inverse = np.linalg.inv(A)
        np.testing.assert_allclose(
            factor.grad(matrix), np.tril(inverse, -1) + 0.5 * np.diag(np.diag(inverse))
        )
