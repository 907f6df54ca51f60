"""`tapegrad fit`: a model and a data file from the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tapegrad.cli import main

MODEL = """
import numpy as np
from helper import half_log_2pi
from tapegrad.stats import norm, poisson

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
    return (1j * a).real * x.sum()

def misspelt(a, x):
    return -((x - aa) ** 2).sum()

def sloppy(a, b, x):
    return -((x - a) ** 2).sum()

def flat(a, b, x):
    return -((x - a - b) ** 2).sum()

def scale(sigma, x, mu=0.0):
    return norm.logpdf(x, mu, sigma)

def shares(w, x):
    return np.log(w[0] * x + w[1])

def keywords(**params):
    return 0.0

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


def test_a_fit_that_fails_says_so_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "model.py:flat", "--data", "data.csv", "--start", "a=1", "--start", "b=1"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "NOT CONVERGED" in printed.out
    assert printed.out.count("no standard errors") == 1
    assert "\n- flat: the log-likelihood is flat along" in printed.out
    assert main([*command, "--json"]) == 1
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["converged"] is numbers["se_reliable"] is False
    assert numbers["params"]["a"]["se"] is None
    assert [finding["kind"] for finding in numbers["diagnosis"]] == ["not converged", "flat"]


def test_a_parameter_that_does_nothing_is_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "model.py:sloppy", "--data", "data.csv", "--start", "a=1", "--start", "b=1"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err == ""  # one place is enough
    assert "the log-likelihood is flat along b" in " ".join(printed.out.split())


def test_constraints_fixed_parameters_and_methods(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.array([1.5, 2.5, 4.0, 6.0])
    command = ["fit", "model.py:scale", "--data", "data.csv", "--start", "sigma=1", "--json"]
    root = np.sqrt((x**2).mean())
    for transform in ("sigma=positive", "sigma = interval(0.5, 20)", "sigma=lower(0.1)"):
        assert main([*command, "--transform", transform, "--method", "newton"]) == 0
        numbers = json.loads(capsys.readouterr().out)
        np.testing.assert_allclose(numbers["params"]["sigma"]["estimate"], root, rtol=1e-7)
        assert numbers["method"] == "newton"
    assert main([*command, "--start", "mu=3", "--fixed", "mu"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["params"]["mu"]["fixed"] is True
    assert numbers["params"]["mu"]["estimate"] == 3.0
    np.testing.assert_allclose(
        numbers["params"]["sigma"]["estimate"], np.sqrt(((x - 3.0) ** 2).mean()), rtol=1e-7
    )
    # A parameter held at 0 is 0 standard errors of 0 away from it.
    assert main([*command[:-1], "--start", "mu=0", "--fixed", "mu"]) == 0
    assert re.search(r"^mu +0\.000000 +fixed$", capsys.readouterr().out, re.M)


def test_vectors_that_are_constrained_as_a_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "model.py:shares", "--data", "data.csv", "--start", "w=0.5,0.5", "--json"]
    assert main([*command, "--transform", "w=simplex"]) == 1  # the more weight on x, the better
    numbers = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(numbers["params"]["w[0]"]["estimate"], 1.0, atol=1e-4)


def test_files_as_spreadsheets_write_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '\ufeff"x","a ""quoted"", name"\r\n"1.5",a\r\n\r\n 2.5 ,"b\nc"\r\n4.0,c\r\n6e0,d\r\n'
    (folder / "sheet.csv").write_bytes(text.encode("utf-8"))
    command = ["fit", "model.py:normal", "--start", "mu=0", "--start", "log_sigma=0", "--data"]
    assert main([*command, "data.csv"]) == 0
    expected = capsys.readouterr().out.splitlines()
    assert main([*command, "sheet.csv"]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == expected[:-1]  # where the time stands


def test_help_tells_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for option in ("--data", "--start", "--transform", "--fixed", "--method", "--json", "--formula", "--sep"):
        assert re.search(rf"^  {option}\b", out, re.M)
    assert "interval(A,B)" in out
    assert "exit status" in out


def test_a_mistake_of_the_model_is_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "tapegrad", "fit", "model.py:misspelt", "--data", "data.csv"]
    done = subprocess.run([*command, "--start", "a=0"], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    line = MODEL.splitlines().index("    return -((x - aa) ** 2).sum()") + 1
    assert done.stderr == (
        f"tapegrad fit: error: model.py:{line}: `return -((x - aa) ** 2).sum()`: NameError: name 'aa' is not "
        "defined\n"
    )


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
        (["model.py:broken", "--start", "a=1", "--data", "ragged.csv"], "line 2: 1 values for 2 columns"),
        (["model.py:broken", "--start", "a=1", "--data", "text.csv"], "line 4: x is 'NA', not a number"),
        (["model.py:broken", "--start", "a=1", "--data", "nan.csv"], "line 2: x is 'nan', not a number"),
        (["model.py:broken", "--start", "a=1", "--data", "gap.csv"], "line 2: x is '', not a number"),
        (["model.py:broken", "--start", "a=1", "--data", "twice.csv"], "twice.csv has 2 columns called x"),
        (["model.py:broken", "--start", "a=1", "--data", "tabs.csv"], "tabs.csv is separated by '\\t'"),
        (["model.py:broken", "--start", "a=1", "--data", "points.csv"], "points.csv is separated by ';'"),
        (["model.py:broken", "--start", "a=1", "--data", "latin.csv"], "latin.csv is not in UTF-8"),
        (["model.py:broken", "--start", "a=1", "--data", "open.csv"], "open.csv, line 2: unexpected end"),
        (["model.py:broken", "--start", "a=1", "--data", "."], ". cannot be read: Is a directory"),
        (["model.py:plain", "--start", "a=1", "--data", "data.csv"], "plain takes none of the columns"),
        (["model.py:plain", "--start", "a=1", "--start", "a=2"], "--start a is given twice"),
        (["model.py:plain", "--start", "a=1", "--method", "bfsg"], "no method 'bfsg': choose one of bfgs"),
        (["model.py:plain", "--start", "a=1", "--fixed", "b"], "fixed: no parameter 'b'"),
        (["model.py:plain", "--start", "a=1", "--transform", "a"], "write a constraint as NAME=KIND"),
        (
            ["model.py:plain", "--start", "a=1", "--transform", "a=odd"],
            "with one of positive, unit, lower(A)",
        ),
        (["model.py:plain", "--start", "a=1", "--transform", "a=lower"], "write a constraint as NAME=KIND"),
        (["model.py:plain", "--start", "a=1", "--transform", "a=lower(x)"], "write a constraint as NAME"),
        (["model.py:plain", "--start", "a=1", "--transform", "a=interval(2,1)"], "needs a < b"),
        (["model.py:plain", "--start", "a=-1", "--transform", "a=positive"], "a must be greater than 0"),
        (["model.py:plain", "--start", "a=1", "--transform", "b=unit"], "the parameters are a"),
        (["model.py:keywords", "--start", "a=1"], "arguments are passed by name, and **params has none"),
        (["model.py:int", "--start", "a=1"], "there is no function 'int'"),
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
        "text": "x\n1\n\nNA\n",
        "nan": "x\nnan\n",
        "gap": "x,y\n,1\n",
        "twice": "x,x\n1,2\n",
        "tabs": "x\ty\n1\t2\n",
        "points": "x;y\n1,5;2\n",
        "latin": "x,y\n1,caf\xe9\n",
        "open": 'x,y\n1,"2\n',
    }.items():
        (folder / f"{name}.csv").write_text(text, encoding="latin-1")
    assert main(["fit", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("tapegrad fit: error: ")
    assert message in printed.err
    assert printed.out == ""


# show -------------------------------------------------------------------------------------------------------


def test_show_prints_the_listing(folder, capsys):
    assert main(["show", "model.py:plain", "--start", "a=1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tape plain(a) -> scalar    3 ops")
    assert "return -(a - 2.0) ** 2" in out


def test_show_writes_a_page(folder, capsys):
    arguments = ["--data", "data.csv", "--start", "mu=5", "--start", "log_sigma=0"]
    assert main(["show", "model.py:normal", *arguments, "--html", "out.html"]) == 0
    assert re.fullmatch(r"out.html: \d+ entries of normal\n", capsys.readouterr().out)
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert '"value":{"text":["5","0"' in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["model.py:misspelt", "--data", "data.csv", "--start", "a=1"],
            "model.py:23: `return -((x - aa) ** 2)",
        ),
        (["model.py:plain", "--start", "a=1", "--html", "gone/out.html"], "gone/out.html cannot be written"),
        (["model.py:plane", "--start", "a=1"], "there is no function 'plane'"),
    ],
)
def test_show_says_what_is_wrong(folder, capsys, arguments, words):
    assert main(["show", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tapegrad show: error: ")
    assert words in error
