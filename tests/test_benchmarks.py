"""The benchmarks compute the right numbers, and their command line runs. Nothing here depends on timing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose

from benchmarks import contestants, costs, measure, report
from benchmarks.__main__ import main
from benchmarks.models import MODELS


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BUDGET_S", 0.0)


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
    assert all(result.repeats >= measure.LEAST_REPEATS for result in results)
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
    head, rule, line = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["model", "n", "graph", "tape", "graph/tape"]
    assert set(rule) == {"-"}
    assert line.split()[:2] == ["normal", "100"]
    written = json.loads(file.read_text())
    assert [(row["n"], row["contestant"]) for row in written["results"]] == [(100, "graph"), (100, "tape")]
    assert written["environment"]["numpy"]


def test_the_cost_of_tracing_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "TRACE_OPS", 400)
    assert main(["--trace-cost"]) == 0
    assert "us per operation" in capsys.readouterr().out


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


@pytest.mark.parametrize(("count", "expected"), [(None, "-"), (1_234, "1.23 kB"), (2_500_000, "2.5 MB")])
def test_sizes(count: int | None, expected: str) -> None:
    assert report.size(count) == expected
