"""The command line, and the regression it demonstrates against statsmodels."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tapegrad
from tapegrad.cli import main
from tapegrad.datasets import load_randhie
from tapegrad.demo import fit_visits, visits_model
from tapegrad.function.trace import trace
from tapegrad.mle import FitResult

# statsmodels 0.15.0: NegativeBinomial(mdvis, add_constant(the other nine), loglike_method="nb2"), fitted by
# method="newton" with tol=1e-12 from the default fit. The last is alpha, not its logarithm.
NAMES = ("const", "lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp")
PARAMS = [
    *(0.663556089749, -0.057946953028, -0.267787714919, 0.041206076053, -0.038137679934),
    *(0.268915770380, 0.038163744356, -0.044133882079, 0.017252183708, 0.177960794351),
    1.292953344083,
]
ERRORS = [
    *(0.024771179076, 0.006089727536, 0.022693087944, 0.004146990559, 0.003399513592),
    *(0.029945007240, 0.001463229411, 0.020052281160, 0.036145016897, 0.074261205257),
    0.018609759415,
]
LLF = -43383.66207653563


@pytest.fixture(scope="module")
def visits() -> FitResult:
    model = visits_model()
    return fit_visits(model, trace(model.loglik, model.start))


def on_the_scale_of_alpha(result: FitResult) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors with alpha for log_alpha: at a maximum the delta method is exact."""
    alpha = np.exp(result.x[-1])
    return np.append(result.x[:-1], alpha), np.append(result.bse[:-1], alpha * result.bse[-1])


def test_the_regression_agrees_with_statsmodels_stored_fit(visits: FitResult) -> None:
    estimates, errors = on_the_scale_of_alpha(visits)
    assert visits.converged
    assert visits.names == (*NAMES, "log_alpha")
    assert visits.nobs == 20190
    np.testing.assert_allclose(estimates, PARAMS, rtol=1e-9)
    np.testing.assert_allclose(errors, ERRORS, rtol=1e-8)
    np.testing.assert_allclose(visits.llf, LLF, rtol=1e-12)
    np.testing.assert_allclose([visits.aic, visits.bic], [86789.32415307, 86876.36652290], rtol=1e-11)


def test_the_regression_agrees_with_statsmodels_here(visits: FitResult) -> None:
    sm = pytest.importorskip("statsmodels.api")
    columns = load_randhie()
    y = columns.pop("mdvis")
    x = np.column_stack([np.ones(y.size), *columns.values()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        model = sm.NegativeBinomial(y, x, loglike_method="nb2")
        theirs = model.fit(method="newton", start_params=PARAMS, tol=1e-12, disp=0)
    estimates, errors = on_the_scale_of_alpha(visits)
    np.testing.assert_allclose(estimates, theirs.params, rtol=1e-7)
    np.testing.assert_allclose(errors, theirs.bse, rtol=1e-7)
    np.testing.assert_allclose(visits.llf, theirs.llf, rtol=1e-12)


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "mu = np.exp(X @ beta)" in out
    assert re.search(
        r"^tape loglik\(beta, log_alpha\) -> scalar .* data X\[20190, 10\], y\[20190\]$", out, re.M
    )
    for name, estimate in zip(NAMES, PARAMS, strict=False):
        assert re.search(rf"^{name} +{estimate:.6f} ", out, re.M), name
    assert "Log-likelihood: -43383.7    AIC: 86789.3    BIC: 86876.4    No. observations: 20190" in out
    tape, graph = (
        float(re.search(rf"{who} +([\d.]+) ms", out)[1])  # type: ignore[index]
        for who in ("replaying the tape", "building a graph per call")
    )
    assert tape > 0.0
    assert graph > 0.0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tapegrad {tapegrad.__version__}\n"


def test_help_is_what_comes_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert re.search(r"^ +demo +\S", capsys.readouterr().out, re.M)


def test_an_unknown_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demonstration"])
    assert caught.value.code == 2
    assert "demonstration" in capsys.readouterr().err


def test_python_m_tapegrad() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tapegrad", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tapegrad {tapegrad.__version__}\n"
