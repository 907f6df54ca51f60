"""Fits and tapes on disk: every bit comes back, and nothing else gets in."""

import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from benchmarks.contestants import plain
from benchmarks.models import MODELS
from tapegrad.backends.replay import evaluate
from tapegrad.mle import FitResult, StorageError, fit, load, save
from tapegrad.mle.transforms import positive
from tapegrad.ops.registry import OPS
from tapegrad.stats import norm
from tapegrad.tape.storage import _entry, encode
from tapegrad.tape.tape import Tape

X = np.array([4.2, 5.9, 3.1, 6.4, 5.0, 7.3, 4.8, 5.5, 2.7, 6.1])


def normal(mu: Any, sigma: Any) -> Any:
    return norm.logpdf(X, mu, sigma).sum()


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit(normal, {"mu": 1.0, "sigma": 1.0}, transforms={"sigma": positive})


def a_tape() -> Tape:
    x = np.arange(5.0)

    def branching(mu: Any, b: Any) -> Any:
        total = np.where(x[1:] > mu, mu * x[:-1], b[0]).sum() + b[np.array([0, 1])].sum()
        return total + b[1] * mu if mu > 0.0 else total

    return tg.trace(branching, {"mu": 1.0, "b": np.array([0.5, 2.0])}).tape


def assert_same(a: Tape, b: Tape) -> None:
    assert (a.name, a.avals, a.parameters, a.data, a.outputs, a.labels) == (
        (b.name, b.avals, b.parameters, b.data, b.outputs, b.labels)
    )
    assert [(e.op, e.inputs, e.output) for e in a.entries] == [(e.op, e.inputs, e.output) for e in b.entries]
    for first, second in zip(a.constants, b.constants, strict=True):
        assert type(first.value) is type(second.value)
        np.testing.assert_array_equal(first.value, second.value)


# There and back ---------------------------------------------------------------------------------------------


def test_a_fit_comes_back(result: FitResult, tmp_path: Path) -> None:
    file = tmp_path / "fit.json"
    result.save(file)
    copy = load(file)
    assert isinstance(copy, FitResult)
    assert str(copy) == str(result)
    assert copy.params == result.params
    for name in ("x", "bse", "zvalues", "pvalues", "free", "observed_info", "jacobian", "path"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(result, name))
    np.testing.assert_array_equal(copy.conf_int(), result.conf_int())
    np.testing.assert_allclose(copy.wald_test("mu = 5").statistic, result.wald_test("mu = 5").statistic)
    with pytest.raises(ValueError, match="fit again"):
        copy.profile("mu")
    assert copy.diagnose().kinds == ()


def test_a_fit_without_errors_comes_back(tmp_path: Path) -> None:
    with pytest.warns(tg.StandardErrorWarning):
        broken = fit(lambda a: -np.abs(a["x"][0] - 2.0), {"a": {"x": [0.0]}})
    save(broken, tmp_path / "fit.json")
    copy = load(tmp_path / "fit.json")
    assert isinstance(copy, FitResult)
    assert copy.params == broken.params
    assert np.isnan(copy.bse).all()


@pytest.mark.parametrize("name", MODELS)
def test_tapes_come_back(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    data = model.data(20)
    traced = tg.trace(plain(model, data), model.start)
    vector = traced.ravel(model.start)
    for tape in (traced.tape, traced.grad_tape):
        save(tape, tmp_path / "tape.json")
        copy = load(tmp_path / "tape.json")
        assert isinstance(copy, Tape)
        assert_same(copy, tape)
        np.testing.assert_array_equal(
            evaluate(copy, vector, {})[copy.outputs[0]], evaluate(tape, vector, {})[tape.outputs[0]]
        )


# Those with a function that no file holds are refused: `test_laplace` shows it.
@pytest.mark.parametrize("op", [op for op in OPS.values() if op.name != "given"], ids=lambda op: op.name)
def test_the_attributes_of_every_op_come_back(op: Any) -> None:
    for args, attrs in op.samples:
        content = {
            "op": op.name,
            "inputs": list(range(len(args))),
            "output": len(args),
            "attrs": [[name, encode(value)] for name, value in attrs.items()],
            "source": None,
        }
        copy = _entry(json.loads(json.dumps(content, allow_nan=False)), 0)
        assert copy.op is op
        assert [name for name, _ in copy.attrs] == list(attrs)
        for name, value in copy.attrs:
            assert type(value) is type(attrs[name])
            assert repr(value) == repr(attrs[name])


def test_guards_and_sources_come_back(tmp_path: Path) -> None:
    tape = a_tape()
    save(tape, tmp_path / "tape.json")
    copy = load(tmp_path / "tape.json")
    assert isinstance(copy, Tape)
    assert_same(copy, tape)
    assert [guard.outcome for guard in copy.guards] == [guard.outcome for guard in tape.guards] == [True]
    source = copy.entries[0].source
    assert source is not None
    assert source.file == "test_storage.py"  # without the folder
    assert str(Path(__file__).parent) not in (tmp_path / "tape.json").read_text()


def test_what_cannot_be_stored(result: FitResult, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(TypeError, match="cannot store <object"):
        save(replace(result, params=object()), tmp_path / "fit.json")
    with pytest.raises(TypeError, match="cannot store an array of complex"):
        save(replace(result, params=np.ones(2, complex)), tmp_path / "fit.json")
    for item in (tg.trace(lambda mu: -(mu**2), {"mu": 1.0}), result.params):
        with pytest.raises(
            TypeError, match=r"save takes a fit or a tape \(for a traced function, its .tape\)"
        ):
            save(item, tmp_path / "fit.json")  # type: ignore[arg-type]
    assert not (tmp_path / "fit.json").exists()


# Strangers --------------------------------------------------------------------------------------------------


def damaged(tmp_path: Path, content: Any) -> str:
    file = tmp_path / "damaged.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StorageError) as caught:
        load(file)
    return str(caught.value)


def stored(item: Any, tmp_path: Path) -> dict[str, Any]:
    save(item, tmp_path / "item.json")
    content: dict[str, Any] = json.loads((tmp_path / "item.json").read_text())
    return content


def test_files_that_are_something_else(tmp_path: Path) -> None:
    assert "not a file that save wrote" in damaged(tmp_path, "")
    assert "not a file that save wrote" in damaged(tmp_path, "[1, 2]")
    assert "version 2" in damaged(tmp_path, {"format": "tapegrad fit", "version": 2})
    assert "holds 'csv'" in damaged(tmp_path, {"format": "csv", "version": 1})
    assert "two entries of one name" in damaged(tmp_path, '{"format": "tapegrad fit", "format": "x"}')
    assert "NaN is no number of JSON" in damaged(tmp_path, '{"format": NaN}')
    assert "not a file that save wrote" in damaged(tmp_path, "[" * 100_000)
    assert "not a file that save wrote" in damaged(tmp_path, '{"format": 1' + "0" * 5000 + "}")
    (tmp_path / "binary").write_bytes(b"\x80\x04\x95")
    with pytest.raises(StorageError):
        load(tmp_path / "binary")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_damaged_fits(result: FitResult, tmp_path: Path) -> None:
    content = stored(result, tmp_path)

    def with_field(name: str, value: Any) -> dict[str, Any]:
        return {**content, "fit": {**content["fit"], name: value}}

    assert "llf is no float" in damaged(tmp_path, with_field("llf", "high"))
    assert "neither true nor false" in damaged(tmp_path, with_field("converged", 1))
    assert "1 is no line of text" in damaged(tmp_path, with_field("names", {":tuple": [1, 2]}))
    assert "no tuple of different texts" in damaged(tmp_path, with_field("names", {":tuple": ["mu", "mu"]}))
    assert "no tuple of different texts" in damaged(tmp_path, with_field("names", ["mu", "sigma"]))
    assert "message is no text" in damaged(tmp_path, with_field("message", "\x1b]0;all well\x07"))
    assert "no line of text" in damaged(tmp_path, with_field("model", "f\n\\input{/etc/passwd}"))
    assert "-3 is no count" in damaged(tmp_path, with_field("nit", -3))
    assert "no count" in damaged(tmp_path, with_field("nhev", 2.5))
    assert "not the same numbers" in damaged(
        tmp_path, with_field("params", {":dict": [["mu", 0.0], ["sigma", 1.0]]})
    )
    assert "is no parameter" in damaged(
        tmp_path, with_field("params", {":dict": [["mu", "5.1"], ["sigma", 1]]})
    )
    assert "free and jacobian go together" in damaged(tmp_path, with_field("jacobian", None))
    assert "x is no array" in damaged(
        tmp_path,
        with_field(
            "x", {":array": {"dtype": "float64", "shape": [1], "base64": base64.b64encode(bytes(8)).decode()}}
        ),
    )
    assert "path is no array of float64 of shape (1,)" in damaged(tmp_path, with_field("path", 1.0))
    assert "'many' is no count" in damaged(tmp_path, with_field("nobs", "many"))
    assert "nobs is no number of observations" in damaged(tmp_path, with_field("nobs", 0))
    assert "unknown tag ':code'" in damaged(tmp_path, with_field("params", {":code": "import os"}))
    assert "'_model' is no field" in damaged(tmp_path, with_field("_model", 1))
    nest: Any = 1.0
    for _ in range(60):
        nest = [nest]
    assert "nested too deeply" in damaged(tmp_path, with_field("params", nest))
    for array in (
        {"dtype": "object", "shape": [1], "base64": ""},
        {"dtype": "float64", "shape": [3], "base64": ""},
        {"dtype": "float64", "shape": [-1], "base64": ""},
        {"dtype": "float64", "shape": [1], "base64": "?"},
        {"dtype": "bool", "shape": [1], "base64": base64.b64encode(b"\x07").decode()},
    ):
        damaged(tmp_path, with_field("x", {":array": array}))


def test_truncated_files(result: FitResult, tmp_path: Path) -> None:
    for item in (result, a_tape()):
        save(item, tmp_path / "whole.json")
        text = (tmp_path / "whole.json").read_text()
        for length in range(0, len(text) - 2, 37):
            damaged(tmp_path, text[:length])


def with_entry(content: dict[str, Any], named: str, **changes: Any) -> dict[str, Any]:
    """A stored tape with another first entry of this op."""
    tape = json.loads(json.dumps(content["tape"]))
    next(entry for entry in tape["entries"] if entry["op"] == named).update(changes)
    return {**content, "tape": tape}


def test_damaged_tapes(tmp_path: Path) -> None:
    content = stored(a_tape(), tmp_path)
    first = content["tape"]["entries"][0]["op"]
    assert "unknown op 'system'" in damaged(tmp_path, with_entry(content, first, op="system"))
    damaged(tmp_path, with_entry(content, first, inputs=[99, 98]))
    damaged(tmp_path, with_entry(content, first, output=0))
    damaged(tmp_path, with_entry(content, first, attrs=[["shape", 3]]))
    damaged(tmp_path, with_entry(content, "mul", attrs=[["casting", "unsafe"]]))
    for index in (3, {":tuple": ["code"]}, {":tuple": [{":tuple": [0, 1]}]}, {":tuple": [1.0]}):
        damaged(tmp_path, with_entry(content, "getitem", attrs=[["index", index]]))
    damaged(tmp_path, {**content, "tape": {**content["tape"], "outputs": [12345]}})
    labels = [[slot, "\x1b[31m"] for slot, _ in content["tape"]["labels"]]
    assert "no line of text" in damaged(tmp_path, {**content, "tape": {**content["tape"], "labels": labels}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # What would leave the comment that names the line, in the source that backends print and run.
        ({"source": ["m\n        open('ran', 'w')\n        #", 1]}, "no line of text"),
        # What would be printed as the name of an argument; elementwise ops take none.
        ({"attrs": [["x=open('ran', 'w'), y", 1]]}, "no attribute of exp"),
        ({"source": ["/etc/passwd", 1]}, "no name of a file without its folder"),
        ({"source": ["../model.py", 1]}, "no name of a file without its folder"),
    ],
)
def test_a_tape_cannot_smuggle_in_code(
    changes: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.arange(5.0)
    content = stored(tg.trace(lambda mu: np.exp(mu * x).sum(), {"mu": 1.0}).tape, tmp_path)
    (tmp_path / "evil.json").write_text(json.dumps(with_entry(content, "exp", **changes)))
    with pytest.raises(StorageError, match=message):
        load(tmp_path / "evil.json")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [[10**12], [10**6, 10**6], [10**30], [2**27 + 1]])
def test_a_small_file_asks_for_little_room(shape: list[int], tmp_path: Path) -> None:
    place = tg.trace(lambda mu, i: (mu * np.ones(3))[i].sum(), {"mu": 1.0}, data={"i": np.array([0, 1])})
    for item in (place.tape, a_tape()):
        content = stored(item, tmp_path)
        for slot in range(len(content["tape"]["avals"])):
            avals = json.loads(json.dumps(content["tape"]["avals"]))
            avals[slot][0] = shape
            tracemalloc.start()
            try:
                damaged(tmp_path, {**content, "tape": {**content["tape"], "avals": avals}})
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 2**20
    array = {":array": {"dtype": "float64", "shape": shape, "base64": ""}}
    content = stored(fit(lambda mu: -(mu**2), {"mu": 1.0}), tmp_path)
    assert "has 0 bytes" in damaged(tmp_path, {**content, "fit": {**content["fit"], "x": array}})


def test_what_a_stranger_wrote_is_not_shown_as_code_elsewhere(tmp_path: Path) -> None:
    fitted = fit(lambda **p: -(p["<b>\\x"] ** 2), {"<b>\\x": 1.0})
    save(fitted, tmp_path / "fit.json")
    copy = load(tmp_path / "fit.json")
    assert isinstance(copy, FitResult)
    assert "<b>" not in copy._repr_html_()
    assert r"$<$b$>$\textbackslash{}x &" in copy.summary().as_latex()


FIT_TEXT: dict[str, str] = {}


def texts(tmp: Path) -> dict[str, str]:
    if not FIT_TEXT:
        fitted = fit(normal, {"mu": 1.0, "sigma": 1.0}, transforms={"sigma": positive})
        for name, item in (("fit", fitted), ("tape", a_tape())):
            save(item, tmp)
            FIT_TEXT[name] = tmp.read_text()
    return FIT_TEXT


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(["fit", "tape"]), data=st.data())
def test_a_changed_file_loads_checked_or_not_at_all(
    tmp_path_factory: Any, kind: str, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.json"
    text = texts(file)[kind]
    place = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 8))
    new = data.draw(st.text(st.sampled_from('0123456789-.eE"[]{}:,nultrasfx '), max_size=6))
    file.write_text(text[:place] + new + text[place + length :])
    assert_refused_or_sound(file)


def assert_refused_or_sound(file: Path) -> None:
    """A file is either no fit and no tape, or all that one from a file is for goes through."""
    try:
        item = load(file)
    except StorageError:
        return
    if isinstance(item, Tape):
        tg.verify(item)
        assert len(str(item).encode()) > 0
        return
    assert len(item.names) == item.x.size
    assert len(str(item).encode()) > 0
    assert item.summary().as_html() == item._repr_html_()
    assert item.summary().as_latex().count("tabular") == 2
    json.dumps(item.to_dict(), allow_nan=False)
    assert item.diagnose().kinds == tuple(finding.kind for finding in item.diagnose().findings)
    assert item.labelled.table().shape == (item.x.size, 6)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([":tuple", ":dict", ":array", ":tape", "x"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(path=st.integers(0, 10_000), value=JSON, kind=st.sampled_from(["fit", "tape"]))
def test_a_value_of_another_kind_is_refused_or_checked(
    tmp_path_factory: Any, path: int, value: Any, kind: str
) -> None:
    """Replace one value somewhere in the file by another one."""
    file = tmp_path_factory.getbasetemp() / "replaced.json"
    content = json.loads(texts(file)[kind])
    node = content[kind]
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key, path = keys[path % len(keys)], path // len(keys)
        if not (isinstance(node[key], dict | list) and node[key]) or path == 0:
            node[key] = value
            break
        node = node[key]
    file.write_text(json.dumps(content))
    assert_refused_or_sound(file)
