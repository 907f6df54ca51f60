"""The benchmarks compute the right numbers, and their command line runs. Nothing here depends on timing."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks import (
    compiled,
    contestants,
    costs,
    firstcalls,
    fits,
    hessians,
    measure,
    memory,
    report,
    targets,
    views,
)
from benchmarks.__main__ import main
from benchmarks.models import MODELS
from benchmarks.sections import SECTIONS
from tapegrad.backends.c.compiler import compiler

ARRAY_MODELS = [name for name, model in MODELS.items() if not model.is_loop]


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BUDGET_S", 0.0)
    monkeypatch.setattr(firstcalls, "REPEATS", 2)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_by_hand_is_that_of_the_graph(name: str) -> None:
    model = MODELS[name]
    data = model.data(50)
    value, grad = contestants.use_graph(model, data, model.start)(model.start)
    by_hand, grad_by_hand = contestants.use_hand(model, data, model.start)(model.start)
    assert_allclose(by_hand, value, rtol=1e-12)
    assert grad_by_hand.keys() == grad.keys() == model.start.keys()
    for key in grad:
        assert_allclose(grad_by_hand[key], grad[key], rtol=1e-11)


@pytest.mark.parametrize("name", MODELS)
def test_all_contestants_agree(name: str) -> None:
    everyone = contestants.CONTESTANTS | {"by hand": contestants.use_hand}
    results = measure.measure(MODELS[name], 20, everyone)
    assert [result.contestant for result in results] == ["graph", "tape", "by hand"]
    assert all(result.repeats >= measure.ROUNDS for result in results)
    assert [result.peak_bytes is not None for result in results] == [True, True, False]


@pytest.mark.parametrize("peer", ["autograd", "casadi"])
@pytest.mark.parametrize("name", MODELS)
def test_a_peer_that_is_installed_agrees(name: str, peer: str) -> None:
    pytest.importorskip(peer)
    prepare = contestants.installed_peers()[peer]
    results = measure.measure(MODELS[name], 20, {"graph": contestants.use_graph, peer: prepare})
    no_log_gamma = (name, peer) == ("student_t", "casadi")
    assert [result.contestant for result in results] == (["graph"] if no_log_gamma else ["graph", peer])


def test_different_numbers_are_never_timed() -> None:
    def wrong(model: Any, data: Any, start: Any) -> Any:
        right = contestants.use_graph(model, data, start)

        def call(theta: Any) -> Any:
            value, grad = right(theta)
            return value, grad | {"mu": grad["mu"] * (1 + 1e-6)}

        return call

    with pytest.raises(measure.Mismatch, match="normal, n = 30: wrong and graph differ in mu"):
        measure.measure(MODELS["normal"], 30, {"graph": contestants.use_graph, "wrong": wrong})


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    assert main(["--models", "normal", "--sizes", "100", "--json", str(file)]) == 0
    environment, _, head, rule, line = capsys.readouterr().out.splitlines()
    assert "numpy" in environment
    assert head.split()[:5] == ["model", "n", "graph", "tape", "graph/tape"]
    assert set(rule) == {"-"}
    assert line.split()[:2] == ["normal", "100"]
    written = json.loads(file.read_text())
    assert [(row["n"], row["contestant"]) for row in written["results"]] == [(100, "graph"), (100, "tape")]
    assert written["environment"]["numpy"]


def test_numbers_that_differ_end_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "RTOL", -1.0)
    assert main(["--models", "normal", "--sizes", "10"]) == 1
    assert "error: normal, n = 10: tape and graph differ in value" in capsys.readouterr().err


@pytest.mark.slow
def test_all_sections_in_one_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.__main__.installed_peers", lambda: {"by hand": contestants.use_hand})
    monkeypatch.setattr(
        memory, "in_fresh_process", lambda *asked: memory.Peaks("m", 9, "tape", 8, 7, 7, "none")
    )
    file = tmp_path / "results.json"
    arguments = ["--models", "normal", "logistic", "normal_loop", "--sizes", "50", "--json", str(file)]
    assert main(["--peers", *arguments]) == 0
    tables = [table.splitlines() for table in capsys.readouterr().out.split("\n\n")]
    assert [table[0] for table in tables[3:]] == [section.title for section in SECTIONS.values()]
    ratios = [line.split() for line in tables[2][3:]]
    assert [line[0] for line in ratios] == ["normal", "logistic", "at", "at", "(1)"]
    assert ratios[0][-1] == "-"  # there is no JAX here
    written = json.loads(file.read_text())
    assert {row["contestant"] for row in written["results"]} == {"graph", "tape", "by hand"}
    for name in SECTIONS:
        rows = [row["model"] for row in written[name]]
        assert rows == {
            "views": ["normal", "logistic", "logistic"],
            "memory": ["m"] * 6,
            **({} if compiler() else {"compiled": [], "compiled-hessian": []}),
        }.get(name, ["normal", "logistic"])


def test_some_sections(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.installed_peers", lambda: {"by hand": contestants.use_hand})
    assert main(["--sections", "views", "--models", "exponential", "--sizes", "40"]) == 0
    _, views_alone = capsys.readouterr().out.split("\n\n")
    assert views_alone.splitlines()[3].split()[:3] == ["exponential", "40", "x[::2]"]


def test_ratios_above_their_targets_have_a_star() -> None:
    seconds = {"tape": 2e-5, "by hand": 1e-5, "jax": 3.9e-5}
    results = [
        measure.Result(model, n, who, 0.0, 0.0, 1.01 * time if who == "tape" else time, 5, None)
        for model, n in (("normal", 100), ("logistic", 100), ("logistic", 10_000))
        for who, time in seconds.items()
    ]
    _, normal, small, large, *_ = [line.split() for line in targets.table(results)]
    assert normal[2:4] == ["20.2", "us*"]
    assert small[2:4] == ["20.2", "us"]
    assert normal[-2:] == small[-2:] == ["2.02x*", "0.52x*"]
    assert large[-2:] == ["2.02x*", "0.52x"]
    assert targets.ratio(1.0, 5.0, 0.2) == "0.20x"


@pytest.mark.parametrize("name", ["logistic", "student_t"])
def test_jax_agrees(name: str) -> None:
    pytest.importorskip("jax")
    model = MODELS[name]
    everyone = {"graph": contestants.use_graph, "jax": contestants.use_jax}
    assert len(measure.measure(model, 20, everyone)) == 2
    (hessian,) = hessians.timings(model, 20, with_jax=True)
    (first,) = firstcalls.timings(model, 20, with_jax=True)
    for timing in (hessian, first):
        assert set(timing.seconds) == {"tape", "jax"}
        assert str(timing).split()[:2] == [name, "20"]


def test_hessians_that_differ_are_never_timed() -> None:
    calls = {"tape": lambda theta: np.eye(2), "other": lambda theta: np.eye(2) + 1e-6}
    with pytest.raises(measure.Mismatch, match="the Hessians of other and the tape are"):
        hessians.check_equal(MODELS["normal"], 30, calls)


@pytest.mark.parametrize("name", ARRAY_MODELS)
def test_views_of_the_data(name: str) -> None:
    found = list(views.timings(MODELS[name], 60, with_jax=False))
    assert [timing.layout for timing in found] == ["x[::2]"] + ["Fortran"] * (name == "logistic")


def test_views_hold_the_same_numbers_in_another_layout() -> None:
    X = np.arange(12.0).reshape(4, 3)
    for layout in views.LAYOUTS.values():
        view = layout(X)
        assert not view.flags.c_contiguous
        assert_allclose(view, X, rtol=0.0)


@pytest.mark.parametrize("make", [memory.Resident, memory.Traced])
def test_the_highest_memory_is_seen_and_forgotten(make: Any) -> None:
    if make is memory.Resident and isinstance(memory.meter(), memory.Traced):
        pytest.skip("this system does not let a process reset its highest memory")
    try:
        gauge = make()
        before = gauge.now()
        np.ones(4_000_000)
        assert gauge.peak() - before > 30_000_000
        gauge.reset()
        assert gauge.peak() - before < 10_000_000
    finally:
        tracemalloc.stop()


def test_memory_without_the_kernels_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "SELF", tmp_path)
    try:
        peaks = memory.weigh(MODELS["logistic"], 1_000, "tape")
    finally:
        tracemalloc.stop()
    assert peaks.meter == "tracemalloc"
    assert 0 < peaks.in_calls <= peaks.at_any_time < 10_000_000


@pytest.mark.slow
def test_memory_in_a_fresh_process() -> None:
    found = list(memory.peaks(MODELS["normal"], 20_000, with_jax=False))
    assert [str(peaks).split()[:5] for peaks in found] == [
        ["normal", "20,000", *who, "160", "kB"][:5] for who in (["plain", "call"], ["tape"], ["read-only"])
    ]
    assert all(peaks.at_any_time >= peaks.in_calls >= 0 for peaks in found)


def test_memory_above_the_target_has_a_star() -> None:
    tape = memory.Peaks("normal", 10, "tape", 80, 100_000_000, 100_000_001, "none")
    assert str(tape).split()[-4:] == ["100", "MB", "100", "MB*"]
    assert "*" not in str(replace(tape, contestant="jax"))


def test_data_that_do_not_fit_are_skipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    assert list(memory.peaks(MODELS["logistic"], 10_000_000, with_jax=False)) == []
    assert "logistic, n = 10,000,000: skipped, needs 4.4 GB of free memory" in capsys.readouterr().out


def test_the_cost_of_tracing_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "TRACE_OPS", 400)
    assert main(["--trace-cost"]) == 0
    assert "us per operation" in capsys.readouterr().out


@pytest.mark.slow
def test_what_derivatives_cost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(costs, "N", 200)
    monkeypatch.setattr(costs, "COSTED", ("normal", "logistic"))
    file = tmp_path / "costs.json"
    assert main(["--costs", "--json", str(file)]) == 0
    _, head, _, *lines, targets = capsys.readouterr().out.splitlines()
    assert head.split()[:6] == ["model", "p", "plain", "call", "value", "gradient"]
    assert [line.split()[:2] for line in lines] == [["normal", "2"], ["logistic", "10"]]
    assert targets.split() == ["at", "most", "4x", "8x", "25x"]
    written = json.loads(file.read_text())
    assert [row["model"] for row in written["costs"]] == list(costs.COSTED)
    assert written["costs"][1]["data_bytes"] == 200 * 11 * 8
    assert all(len(row["seconds"]) == 5 for row in written["costs"])


def test_missed_targets_have_a_star() -> None:
    seconds = {"plain call": 1.0, "value": 1.0, "gradient": 4.1, "hvp": 8.0, "Hessian": 30.0}
    peaks = {"gradient": 300, "hvp": 500, "Hessian": 700}
    few, ten = (costs.row(costs.Cost("m", 10, p, 100, seconds, peaks, 5)).split() for p in (3, 10))
    assert few[-6:] == ["4.1x*", "8.0x", "30.0x", "3.0x", "5.0x", "7.0x"]
    assert ten[-4] == "30.0x*"


@pytest.mark.parametrize("what", ["value", "gradient"])
def test_wrong_derivatives_are_never_timed(what: str) -> None:
    right = MODELS["normal"]

    def by_hand(**arguments: Any) -> Any:
        value, grad = right.by_hand(**arguments)
        return value * (1.0 + 1e-6 * (what == "value")), {k: g * (1.0 + 1e-6) for k, g in grad.items()}

    with pytest.raises(measure.Mismatch, match=f"normal: the {what} is "):
        costs.cost(replace(right, by_hand=by_hand), 30)


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--models", "nothing"])
    assert "student_t" in capsys.readouterr().err


def test_the_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "plot.svg"
    results = [
        measure.Result(model, n, who, 0.0, 0.0, 1e-6 * n, 5, None)
        for model in ("normal", "mixture")
        for n in (10, 100)
        for who in ("graph", "tape")
    ]
    report.write_plot(file, results)
    assert file.stat().st_size > 0


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.234, "1.23 s"), (0.0123, "12.3 ms"), (1.5e-6, "1.5 us"), (2e-9, "0.002 us")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert report.duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(None, "-"), (1_234, "1.23 kB"), (2_500_000, "2.5 MB"), (3e9, "3 GB")]
)
def test_sizes(count: int | None, expected: str) -> None:
    assert report.size(count) == expected


# C ----------------------------------------------------------------------------------------------------------

needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


@needs_compiler
@pytest.mark.parametrize("n", [1, 100, 700])
@pytest.mark.parametrize("name", ["normal", "logistic", "student_t", "mixture"])
def test_c_by_hand_is_the_gradient_by_hand(name: str, n: int) -> None:
    model = MODELS[name]
    data = model.data(n)
    value, grad = compiled.use_limit(model, data, model.start)(model.start)
    by_hand, grad_by_hand = contestants.use_hand(model, data, model.start)(model.start)
    assert_allclose(value, by_hand, rtol=1e-12)
    for key in grad_by_hand:
        assert_allclose(grad[key], grad_by_hand[key], rtol=1e-10)


@needs_compiler
def test_ratios_of_c_above_their_targets_have_a_star() -> None:
    seconds = {"numpy": 9.0, "c": 1.0, "limit": 0.5, "by hand": 0.9, "jax": 2.0, "2 threads": 0.7}
    small, large = (str(compiled.Timing("mixture", n, seconds)).split()[-4:] for n in (100, 1_000_000))
    assert small == ["2.00x", "1.11x*", "0.50x*", "0.70x"]
    assert large == ["2.00x*", "1.11x", "0.50x*", "0.70x*"]
    logistic = str(compiled.Timing("logistic", 10_000, seconds)).split()
    assert logistic[-2:] == ["0.50x", "0.70x"]
    later = compiled.Later("normal", 1_000_000, {"c": 1.0, "jax": 5.0}, 0.7, 100)
    assert str(later).split()[-4:] == ["0.20x*", "700", "ms*", "100"]


@needs_compiler
def test_compiling_is_timed_in_an_empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(tmp_path))
    source = "int one(void) { return 1; }\n"
    assert compiled.seconds_to_compile(source) > 0.0
    before = set(tmp_path.rglob("library.so"))
    assert compiled.seconds_to_compile(source) > 0.0
    assert set(tmp_path.rglob("library.so")) == before


# Whole fits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weibull", "poisson"])
def test_a_whole_fit(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fits, "ROUNDS", 1)
    assert main(["--fits", name]) == 0
    *_, head, rule, line, at_most = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["fit", "n", "tapegrad", "scipy"]
    assert set(rule) == {"-"}
    assert line.split()[0] == name
    assert at_most.split() == ["at", "most", "1.00x", "2.00x"]


def test_a_fit_that_ends_lower_than_another_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "ROUNDS", 1)
    right = fits.weibull()
    other = replace(right, by_package=lambda: 1e6, package="numpy")
    monkeypatch.setitem(fits.FITS, "weibull", lambda: other)
    with pytest.raises(measure.Mismatch, match=r"weibull: tapegrad ends at .*, numpy at 1000000"):
        fits.fitted("weibull")
    monkeypatch.setitem(fits.FITS, "weibull", lambda: replace(other, is_same=False))
    assert "numpy" in str(fits.fitted("weibull"))
