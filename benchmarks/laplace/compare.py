"""Models with random effects, timed beside TMB where R has it: ``python -m benchmarks --laplace``."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

import tapegrad as tg
from benchmarks.laplace import models

HERE = Path(__file__).parent
POINTS = 21
FORMULAS = {
    "glmmTMB_salamanders_pois": ("count ~ unmined + (1 | site)", "poisson"),
    "glmmTMB_sleepstudy": ("y ~ days + (days | subject)", "gaussian"),
}


class Times(NamedTuple):
    """Seconds, and the values by which contestants agree; `plain` is `each` with NumPy alone."""

    compile: float
    first: float
    each: float
    fit: float
    start: float
    end: float
    plain: float = 0.0


def seconds(code: Callable[[], Any]) -> tuple[float, Any]:
    """How long it takes, and what it gives."""
    begin = time.perf_counter()
    found = code()
    return time.perf_counter() - begin, found


def points(case: models.Case) -> models.Array:
    """Parameters around the estimates, on the way that an optimiser might take."""
    estimate = np.array(case.told["estimate"])
    shares = np.linspace(-0.02, 0.02, POINTS)
    found: models.Array = estimate * (1.0 + shares[:, None])
    return found


def ours(case: models.Case) -> Times:
    """tapegrad's times."""

    def begin() -> Any:
        marginal = tg.laplace(case.joint, case.start, random=case.random)
        theta = marginal.structure.ravel(
            {name: value for name, value in case.start.items() if name not in case.random}
        )
        return marginal, marginal.value_and_grad_flat(theta)[0]

    first, (marginal, value) = seconds(begin)
    traced = tg.trace(case.joint, case.start, backend="numpy")
    plain = tg.laplace(traced, case.start, random=case.random)
    plain.value_and_grad_flat(points(case)[0])
    each, alone = [], []
    for x in points(case):  # in turns, so that both meet the same load
        each.append(seconds(partial(marginal.value_and_grad_flat, x))[0])
        alone.append(seconds(partial(plain.value_and_grad_flat, x))[0])
    fit, result = seconds(lambda: tg.fit(case.joint, case.start, random=case.random))
    return Times(0.0, first, statistics.median(each), fit, -value, -result.llf, statistics.median(alone))


def tmb(case: models.Case, name: str, folder: Path) -> Times | None:
    """TMB's times, or None where R or TMB is not installed."""
    shutil.copy(HERE / "templates" / f"{name}.cpp", folder)
    (folder / f"{name}.R").write_text(_as_r(case, name), encoding="utf-8")
    command = ["Rscript", str(HERE / "time.R"), str(folder / name), str(folder / f"{name}.R")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        return None
    return Times(*map(float, done.stdout.split()[-6:]))


def _as_r(case: models.Case, name: str) -> str:
    """Data, start values and points as R's source."""
    told = case.told
    stored = dict(told["data"]) if "data" in told else {"y": told["y"], "X": told["X"]}
    data = {key: models.array(value) for key, value in stored.items()}
    if "Z" in told:
        data["group"] = models.columns(models.array(told["Z"]))[0][:, 0]
    if "data_frame" in told:
        data["group"] = models.array(told["data_frame"]["Subject"])
    if name == "field":
        mass, stiffness = sparse.eye_array(data["count"].size, format="csr"), models.lattice(50)
        data |= {"mass": mass, "stiffness": stiffness, "twice": stiffness @ stiffness}
    if name == "frailty":
        data["group"] = data["group"].astype(int)
    if name == "orange_big":
        data["tree"] = np.repeat(np.arange(data["M"]), np.array(data["ngroup"], dtype=int))
    lines = [
        f"data <- list({', '.join(f'{key} = {_r(value)}' for key, value in data.items())})",
        f"parameters <- list({', '.join(f'{key} = {_r(value)}' for key, value in case.start.items())})",
        f"random <- c({', '.join(map(repr, case.random))})",
        f"at <- {_r(points(case))}",
    ]
    return "\n".join(lines) + "\n"


def _r(value: Any) -> str:
    if hasattr(value, "tocoo"):
        found = value.tocoo()
        rows, columns = (_r(index + 1) for index in found.coords)
        made = f"i = {rows}, j = {columns}, x = {_r(found.data)}, dims = {_r(np.array(value.shape))}"
        return f"as(sparseMatrix({made}), 'CsparseMatrix')"
    array = np.asarray(value)
    if array.ndim == 0:
        return repr(array.item())
    numbers = ", ".join(map(repr, array.ravel(order="F").tolist()))
    made = f"c({numbers})" if array.dtype.kind == "f" else f"as.integer(c({numbers}))"
    return made if array.ndim == 1 else f"array({made}, c({', '.join(map(str, array.shape))}))"


def print_laplace(names: Sequence[str]) -> None:
    """Print the table."""
    has_r = shutil.which("Rscript") is not None
    if not has_r:
        print("R is not installed: tapegrad alone")
    print(
        "milliseconds. first: trace or compile, and first gradient; each: value and gradient; NumPy: the "
        "same without C; fit: all of it"
    )
    heads = ("first", "TMB"), ("each", "TMB", "ratio"), ("NumPy", "ratio"), ("fit", "TMB", "ratio")
    print(f"{'':<26}" + "".join(f"{head:>{7 if head == 'ratio' else 9}}" for part in heads for head in part))
    with tempfile.TemporaryDirectory() as folder:
        for name in names or models.NAMES:
            case = models.case(name)
            mine, theirs = ours(case), tmb(case, name, Path(folder)) if has_r else None
            print(_row(name, mine, theirs), flush=True)
    _print_by_formula(names)


def _print_by_formula(names: Sequence[str]) -> None:
    """The fits of mixed models by formula beside those of the same plain functions."""
    for name, (formula, family) in FORMULAS.items():
        if names and name not in names:
            continue
        case = models.case(name)
        plain, result = seconds(partial(tg.fit, case.joint, case.start, random=case.random))
        whole, mixed = seconds(partial(tg.glmm, formula, models.table(case.told), family))
        agreement = abs(mixed.llf / result.llf - 1.0)
        print(f"{name}: fit {1e3 * plain:.0f}, by formula {1e3 * whole:.0f}: {formula}")
        print(f"    the log-likelihoods differ by {agreement:.0e} of themselves")


def _row(name: str, mine: Times, theirs: Times | None) -> str:
    def cells(own: float, other: float | None) -> str:
        return f"{1e3 * own:>9.2f}" + (f"{'':>9}" if other is None else f"{1e3 * other:>9.2f}")

    if theirs is None:
        first, each, plain, fit = (cells(one, None) for one in (mine.first, mine.each, mine.plain, mine.fit))
        return f"{name:<26}{first}{each}{'':>7}{plain[:9]}{'':>7}{fit}"
    for own, other in ((mine.start, theirs.start), (mine.end, theirs.end)):
        if not np.isclose(own, other, rtol=1e-7):
            return f"{name:<26}  differs: {own:.10g} and TMB {other:.10g}"
    first = cells(mine.first, theirs.compile + theirs.first)
    each, fit = cells(mine.each, theirs.each), cells(mine.fit, theirs.fit)
    plain = f"{1e3 * mine.plain:>9.2f}{mine.plain / theirs.each:>7.2f}"
    ratios = mine.each / theirs.each, mine.fit / theirs.fit
    return f"{name:<26}{first}{each}{ratios[0]:>7.2f}{plain}{fit}{ratios[1]:>7.2f}"
