"""`tapegrad fit` and `tapegrad show`."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import ConvergenceWarning, StandardErrorWarning, fit, trace
from tapegrad.cli.data import Reading, Table, coded, data_for, read, separator_of
from tapegrad.cli.model import arguments_of, function_of, starts_of, transform_of
from tapegrad.cli.words import CommandError, meant, telling
from tapegrad.mle import FitResult, regression
from tapegrad.mle.climb.optimizers import SHORT_NAMES, resolve
from tapegrad.mle.infer.sandwich import KINDS
from tapegrad.mle.regression import FAMILIES

# What is wrong with the end of the fit is told below the table.
_TOLD_BELOW = (ConvergenceWarning, StandardErrorWarning)


def show(options: argparse.Namespace) -> int:
    """The tape of a function, as a listing or as a page."""
    function = function_of(options.model)
    start = starts_of(options.start)
    data = data_for(function, start, _reading(options)).values
    with telling("show", options.model):
        traced = trace(function, start, data=data)
        if options.html is None:
            print(traced)
            return 0
        page = traced.show(start)
    _written(options.html, page.write)
    print(f"{options.html}: {len(traced.tape.entries):,} entries of {traced.tape.name}")
    return 0


def _written(path: Path, write: Any) -> None:
    try:
        write(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _reading(options: argparse.Namespace) -> Reading | None:
    if options.data is None:
        return None
    separator = separator_of(options.sep)
    return Reading(options.data, separator, options.missing, options.category)


def fitted(options: argparse.Namespace) -> int:
    """Fit a function, or a formula; the exit status."""
    alpha = None if options.level is None else _alpha(options.level)
    if options.cov_type not in KINDS:
        raise CommandError(
            f"no covariance {options.cov_type!r}{meant(options.cov_type, KINDS)}: choose one of "
            f"{', '.join(KINDS)}"
        )
    result, levels = _by_formula(options) if options.formula is not None else _by_function(options)
    findings = () if result.se_reliable else result.diagnose().findings
    if options.json:
        diagnosis = [finding._asdict() for finding in findings]
        found = {**result.to_dict(), "diagnosis": diagnosis, **({"levels": levels} if levels else {})}
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        print(result.summary(alpha))
        for name, texts in levels.items():
            print(f"{name}: {', '.join(f'{i} = {text}' for i, text in enumerate(texts))}")
        for kind, message in findings:
            if kind != "not converged":  # the table ends with it
                print(f"- {kind}: {message}")
    if options.save is not None:
        _written(options.save, result.save)
    if options.html is not None:
        page = f"<!DOCTYPE html>\n<meta charset='utf-8'>\n{result.summary(alpha).as_html()}\n"
        _written(options.html, lambda path: path.write_text(page, encoding="utf-8"))
    return 0 if result.converged else 1


def _alpha(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise CommandError(f"--level is a confidence level between 0 and 1, such as 0.95, not {level:g}")
    return round(1.0 - level, 12)


def _options(options: argparse.Namespace, data: Mapping[str, Any]) -> dict[str, Any]:
    """What `fit` and `regression` are given alike."""
    keywords: dict[str, Any] = {}
    if options.groups is not None:
        keywords["groups"] = data[options.groups]
    if options.maxlags is not None:
        keywords["maxlags"] = options.maxlags
    return dict(
        method=options.method,
        fixed=options.fixed,
        cov_type=options.cov_type,
        cov_kwds=keywords or None,
        progress=options.progress,
    )


def _by_function(options: argparse.Namespace) -> tuple[FitResult, dict[str, list[str]]]:
    if options.model is None and options.start and "=" not in options.start[-1]:
        options.model = options.start.pop()  # the list of starts has taken it
    if options.model is None:
        raise CommandError("name a model as FILE.py:FUNCTION, or give a --formula")
    if options.family is not None:
        raise CommandError("--family goes with --formula")
    if not options.start:
        raise CommandError("give a --start for each parameter, such as --start mu=0 sigma=1")
    function = function_of(options.model)
    start = starts_of(options.start)
    transforms = dict(map(transform_of, options.transform))
    _check_names(options, [*transforms], start)
    extra = [] if options.groups is None else [options.groups]
    data = data_for(function, start, _reading(options), extra)
    passed = {
        name: value
        for name, value in data.values.items()
        if name not in extra or name in arguments_of(function)
    }
    with telling("fit", options.model, _TOLD_BELOW):
        result = fit(
            function,
            start,
            data=passed,
            transforms=transforms,
            nobs=options.nobs if options.nobs is not None else data.nobs,
            **_options(options, data.values),
        )
    return replace(result, dropped=data.dropped), {
        name: data.levels[name] for name in data.levels if name in passed
    }


def _check_names(options: argparse.Namespace, transformed: list[str], start: Mapping[str, Any]) -> None:
    """Say what was meant, where a name is nearly that of a parameter."""
    for name in [*transformed, *options.fixed]:
        label = name.partition("[")[0]
        if label not in start and meant(label, start):
            raise CommandError(
                f"no parameter {name!r}{meant(label, start)}; the parameters are {', '.join(start)}"
            )
    try:
        resolve(options.method)
    except ValueError as error:
        raise CommandError(f"{error}{meant(options.method, SHORT_NAMES)}") from error


def _by_formula(options: argparse.Namespace) -> tuple[FitResult, dict[str, list[str]]]:
    reading = _reading(options)
    if reading is None:
        raise CommandError("--formula needs the columns of a file: --data FILE.csv")
    if options.model is not None or options.start or options.transform:
        raise CommandError("a --formula has no MODEL.py, --start and --transform")
    family = options.family or "gaussian"
    if family not in FAMILIES:
        raise CommandError(
            f"no family {family!r}{meant(family, FAMILIES)}: choose one of {', '.join(FAMILIES)}"
        )
    table = read(reading)
    columns = _columns(table, reading)
    if options.groups is not None:
        table.column(options.groups)
    with telling("fit", "", _TOLD_BELOW):
        result = regression(
            options.formula,
            columns,
            family,
            missing=options.missing,
            nobs=options.nobs,
            **_options(options, columns),
        )
    return result, {}


def _columns(table: Table, reading: Reading) -> dict[str, Any]:
    """The columns of a table: numbers, and texts as they are."""
    columns: dict[str, Any] = {}
    for name in table.header:
        codes, levels, gone = coded(table, name, name in reading.categories)
        columns[name] = codes if levels is None else [None if code < 0 else levels[code] for code in codes]
        if levels is None:
            columns[name] = np.where(gone, np.nan, codes)
    return columns
