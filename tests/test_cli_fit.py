"""`tapegrad fit`: a model and a data file from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tapegrad.cli import main

MODEL = """
import numpy as np
from helper import half_log_2pi
from tapegrad.stats import poisson

def normal(mu, log_sigma, x):
    z = (x - mu) / np.exp(log_sigma)
    return (-0.5 * z**2 - log_sigma - half_log_2pi).sum()

def regression(beta, x, y):
    return poisson.logpmf(y, np.exp(beta[0] + beta[1] * x))

def plain(a):
    return -(a - 2.0) ** 2

def saddle(a):
    return a * a

def broken(a, x):
    return float(a) * x.sum()

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "helper.py").write_text("import numpy as np\nhalf_log_2pi = 0.5 * np.log(2.0 * np.pi)\n")
    (tmp_path / "data.csv").write_text("x,y,sex\n1.5,2,f\n2.5,1,m\n\n4.0,3,f\n6.0,9,m\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    return tmp_path


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "model.py:normal", "--data", "data.csv", "--start", "mu=0", "--start", "log_sigma=0"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("Maximum likelihood fit: normal")
    assert "mu         3.500000" in out
    assert "No. observations: 4" in out
    assert str(folder) not in sys.path


def test_json_and_vectors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "model.py:regression", "--data", "data.csv", "--start", "beta=0,0", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert list(numbers["params"]) == ["beta[0]", "beta[1]"]
    b = [numbers["params"][name]["estimate"] for name in numbers["params"]]
    x, y = np.array([1.5, 2.5, 4.0, 6.0]), np.array([2.0, 1.0, 3.0, 9.0])
    mean = np.exp(b[0] + b[1] * x)
    np.testing.assert_allclose(
        [(y - mean).sum(), (x * (y - mean)).sum()], 0.0, atol=1e-8
    )  # the score is zero


def test_without_data_and_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "tapegrad", "fit", "model.py:plain", "--start", "a=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    assert "a  2.000000" in done.stdout


def test_a_fit_that_fails_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(RuntimeWarning):
        assert main(["fit", "model.py:saddle", "--start", "a=1", "--json"]) == 1
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["converged"] is False
    assert numbers["params"]["a"]["se"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model:normal", "--start", "mu=0"], "write the model as FILE.py:FUNCTION"),
        (["normal.py", "--start", "mu=0"], "write the model as FILE.py:FUNCTION"),
        (["other.py:normal", "--start", "mu=0"], "there is no file other.py"),
        (["model.py:other", "--start", "mu=0"], "there is no function 'other' in model.py"),
        (["model.py:number", "--start", "mu=0"], "there is no function 'number'"),
        (["bad.py:f", "--start", "mu=0"], "bad.py cannot be run: ZeroDivisionError"),
        (["model.py:plain", "--start", "a"], "write a start as NAME=VALUE"),
        (["model.py:plain", "--start", "a=x"], "write a start as NAME=VALUE"),
        (["model.py:plain", "--start", "a="], "write a start as NAME=VALUE"),
        (["model.py:plain", "--start", "b=1"], "plain takes no b; its arguments are a"),
        (["model.py:plain", "--start", "a=inf"], "start values must be finite"),
        (["model.py:normal", "--start", "mu=0"], "also takes log_sigma, x"),
        (["model.py:normal", "--start", "mu=0", "--data", "data.csv"], "takes log_sigma: neither"),
        (["model.py:broken", "--start", "a=1", "--data", "data.csv"], "model.py"),
        (["model.py:broken", "--start", "a=1", "--data", "none.csv"], "none.csv cannot be read"),
        (["model.py:broken", "--start", "a=1", "--data", "empty.csv"], "empty.csv is empty"),
        (["model.py:broken", "--start", "a=1", "--data", "head.csv"], "head.csv has no rows"),
        (["model.py:broken", "--start", "a=1", "--data", "ragged.csv"], "row 2: 1 values for 2 columns"),
        (["model.py:broken", "--start", "a=1", "--data", "text.csv"], "row 3: x is 'NA', not a number"),
        (["model.py:broken", "--start", "a=1", "--data", "nan.csv"], "row 2: x is nan; take such rows out"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "bad.py").write_text("1 / 0")
    for name, text in {
        "empty": "",
        "head": "x,y\n",
        "ragged": "x,y\n1\n",
        "text": "x\n1\nNA\n",
        "nan": "x\nnan\n",
    }.items():
        (folder / f"{name}.csv").write_text(text)
    assert main(["fit", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tapegrad fit: error: ")
    assert message in error
