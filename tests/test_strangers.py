"""Tapes from strangers: whatever a file says, it is refused, or is a tape that runs no text of its own."""

from __future__ import annotations

import ast
import copy
import json
import linecache
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.numpy.printer import print_plan
from tapegrad.backends.programs import BACKENDS, Executable
from tapegrad.backends.written import Name, comment, written
from tapegrad.mle import FitResult, StorageError, fit, load, save
from tapegrad.ops.elementwise import exp
from tapegrad.ops.registry import FLOAT, INT, OPS, Aval, Op, broadcast, register
from tapegrad.plan.plan import plan
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entries
from tapegrad.tape.line import Source
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import Tape, TapeError, aval_of

# Where one of these is run, there is a file `ran`, or an error that no tape may lead to.
CODE = (
    "axis=open('ran', 'w'), axis",
    "x=open('ran', 'w'), y",
    "m\nopen('ran', 'w')\n#",
    "0\r        open('ran', 'w')",
    "0); open('ran', 'w'); (0",
    "'+open('ran', 'w')+'",
    '"+open("ran", "w")+"',
    "open('ran', 'w')",
    "no_such_name",
    "{0}",
    "%s",
    "\\",
    "#",
    "\0",
    "lambda",
    "__class__",
    "\uff41xis",  # which Python reads as axis
)
OTHERS = (
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        -1,
        7,
        2**31,
        10**30,
        0.5,
        -0.0,
        1e308,
        "",
        "axis",
        "out",
        "dtype",
        "shape",
    ),
    *(
        "index",
        "casting",
        "where",
        "float64",
        "int64",
        "object",
        "U",
        "array",
        [],
        [0],
        [1, 1],
        [[0, 0, 0]],
        {},
    ),
    *({":tuple": []}, {":tuple": [0]}, {":tuple": [0, 1, 2]}, {":tuple": ["array"]}, {":float": "nan"}),
    *({":float": "-inf"}, {":ellipsis": True}, {":dtype": "float64"}, {":dict": [["axis", 0]]}),
    *({":tape": 1}, {":code": "open('ran', 'w')"}, {":tuple": [{":tuple": [None, None, -1]}]}),
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder, which must have no file `ran` in the end."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "ran").exists()


def present() -> list[str]:
    """The backends that can run here: without a compiler there is no C. JAX has a test of its own."""
    return [name for name in BACKENDS if name != "jax" and (name != "c" or compiler() is not None)]


def run(tape: Tape, backends: Sequence[str] | None = None) -> None:
    """Run a tape on backends, all by default; whatever is wrong with it must have been found before.

    But for an index that is computed from floats: nobody knows it before, and the error names the entry.
    """
    inputs = np.ones(sum(int(np.prod(tape.avals[slot].shape)) for slot in tape.parameters))
    data = {slot: np.zeros(*tape.avals[slot]) for slot in tape.data}
    for name in present() if backends is None else backends:
        make = BACKENDS[name]
        try:
            Executable(make(tape, (), 1), data, bool(tape.guards)).run(inputs, tuple)
        except IndexError as error:
            is_computed = any(entry.op.gives == INT for entry in tape.entries)
            if not (is_computed and re.search(r"out of bounds .*, in %\d+ = \w+", str(error))):
                raise


def tape_of(op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Tape:
    """A tape of one op on constants, which differ from the sample in dtype only."""
    builder = Builder("f")
    slots, avals = [builder.parameter(aval_of(0.0))], []
    for i, arg in enumerate(args):
        dtype = op.takes_at(i)
        value = np.array(arg, dtype=FLOAT if dtype is None else dtype)
        value.flags.writeable = False
        slots.append(builder.constant(value))
        avals.append(aval_of(value))
    source = Source("model.py", 3)
    result = builder.emit(op, tuple(slots[1:]), tuple(attrs.items()), source, op.aval(avals, attrs))
    return builder.finish([result])


def samples(op: Op) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    if op.samples:
        return list(op.samples)
    middle = [0.5 * (low + high) for low, high in op.domain]
    return [(tuple(middle), {}), (tuple(np.full(3, value) for value in middle), {})]


# What may be printed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        0,
        -7,
        10**30,
        1.5,
        -0.0,
        True,
        None,
        "L",
        'it\'s "so"\n',
        ...,
        (),
        (1,),
        (None, (0, -1, None), "array"),
    ],
)
def test_literals_are_written_so_that_python_reads_them_back(value: Any) -> None:
    assert repr(eval(written(value), {})) == repr(value)


def test_numbers_of_numpy_are_written_as_those_of_python() -> None:
    values = (np.int64(3), np.float64(0.5), np.bool_(True), np.float64(np.inf))
    assert [written(value) for value in values] == ["3", "0.5", "True", "inf"]


@pytest.mark.parametrize("text", CODE)
def test_no_text_is_an_identifier_that_is_not_one(text: str) -> None:
    if text == "no_such_name" or text == "__class__":
        assert written(Name(text)) == text
        return
    with pytest.raises(TapeError, match="neither an identifier nor a literal"):
        written(Name(text))
    assert eval(written(text), {}) == text  # as a literal it is harmless


class Shouting(int):
    """A number that would write something else than a number."""

    def __repr__(self) -> str:
        return "open('ran', 'w')"


@pytest.mark.parametrize("value", [Shouting(1), (Shouting(1),), [1], {}, b"", 1j, object(), np.ones(2), len])
def test_what_is_no_literal_is_not_written(value: Any) -> None:
    with pytest.raises(TapeError, match="neither an identifier nor a literal"):
        written(value)


@pytest.mark.parametrize("text", CODE)
def test_a_comment_has_one_line(text: str) -> None:
    assert comment(text).isprintable()
    assert comment(text).splitlines() == [comment(text)]


@pytest.mark.parametrize("text", CODE)
def test_a_line_of_the_users_file_remains_a_comment(text: str) -> None:
    linecache.cache["model.py"] = (1, None, ["", "", text], "model.py")
    try:
        run(tape_of(exp, (np.ones(3),), {}))
    finally:
        linecache.clearcache()


# What verify and the printers refuse ------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_an_op_declares_the_attributes_that_it_takes(op: Op) -> None:
    for args, attrs in samples(op):
        assert sorted(attrs) == sorted(op.attrs)
        tape = tape_of(op, args, attrs)
        tg.verify(tape)
        run(tape)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_verify_knows_how_many_inputs_an_op_takes(op: Op) -> None:
    args, attrs = samples(op)[0]
    tape = tape_of(op, args, attrs)
    (entry,) = tape.entries
    for inputs in ((), entry.inputs[:-1], (*entry.inputs, entry.inputs[-1])):
        changed = replace(tape, entries=Entries([entry._replace(inputs=inputs)]))
        try:
            tg.verify(changed)
        except TapeError:
            continue
        run(changed)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sum", {"axis": (1,)}),
        ("sum", {"axis": (0, 0)}),
        ("sum", {"axis": (-1,)}),
        ("cumsum", {"axis": 1}),
        ("cumsum", {"axis": True}),
        ("max", {"keepdims": "open('ran', 'w')"}),
        ("transpose", {"axes": (0, 0)}),
        ("reshape", {"shape": (3, 3)}),
        ("broadcast_to", {"shape": (3, 2)}),
        ("getitem", {"index": (3,)}),
        ("getitem", {"index": ("open",)}),
        ("getitem", {"index": ((0, 1),)}),
        ("scatter", {"shape": (2,), "index": (2,)}),
        ("update", {"index": (3,)}),
        ("concatenate", {"axis": 1}),
        ("argsort", {"kind": "open('ran', 'w')"}),
        ("searchsorted", {"side": "middle"}),
        ("eigenvalues", {"uplo": "M"}),
    ],
)
def test_values_of_attributes_are_those_that_the_kernel_takes(name: str, changes: dict[str, Any]) -> None:
    op = OPS[name]
    args, attrs = next((a, b) for a, b in samples(op) if a and (np.ndim(a[0]) == 1 or name != "sum"))
    tape = tape_of(op, args, attrs)
    entry = tape.entries[0]._replace(attrs=tuple({**attrs, **changes}.items()))
    with pytest.raises(TapeError, match=rf"= {name}\("):
        tg.verify(replace(tape, entries=Entries([entry])))


def test_an_attribute_stands_once() -> None:
    tape = tape_of(OPS["cumsum"], (np.ones(3),), {"axis": 0})
    entry = tape.entries[0]._replace(attrs=(("axis", 0), ("axis", 0)))
    with pytest.raises(TapeError, match=r"takes the attributes \['axis'\], not \['axis', 'axis'\]"):
        tg.verify(replace(tape, entries=Entries([entry])))


def test_a_place_that_does_not_exist_is_found_before_it_is_read() -> None:
    tape = tape_of(OPS["getitem"], (np.ones(3), np.array([0, 3])), {"index": ("array",)})
    with pytest.raises(TapeError, match="index 3 is out of bounds"):
        tg.verify(tape)


@pytest.mark.parametrize("backend", present())
@pytest.mark.parametrize("number", [np.nan, 3.0, -np.inf])
def test_a_computed_place_that_does_not_exist_is_an_error_with_its_entry(backend: str, number: float) -> None:
    builder = Builder("f")
    parameter = builder.parameter(aval_of(0.0))
    row = np.ones(3)
    row.flags.writeable = False
    slot = builder.constant(row)
    source = Source("model.py", 3)
    place = builder.emit(OPS["to_int"], (parameter,), (), source, Aval((), INT))
    attrs = (("index", ("array",)),)
    tape = builder.finish([builder.emit(OPS["getitem"], (slot, place), attrs, source, aval_of(0.0))])
    tg.verify(tape)
    executable = Executable(BACKENDS[backend](tape, (), 1), {}, False)
    assert executable.run(np.array([2.0]), lambda outputs: float(outputs[0])) == 1.0
    with pytest.raises(
        IndexError, match=r"out of bounds for axis 0 with size 3, in %\d+ = getitem at model.py:3"
    ):
        executable.run(np.array([number]), tuple)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if "of_any_order" in repr(op.kernel)])
def test_an_order_is_a_constant_whole_and_small(name: str) -> None:
    args, attrs = samples(OPS[name])[-1]
    for order in (np.nan, np.inf, 1e300, 100.0, -2.0, 0.5, np.array([[1.0], [0.5]])):
        with pytest.raises(TapeError, match="the op does not take"):
            tg.verify(tape_of(OPS[name], (order, *args[1:]), attrs))
    tape = tape_of(OPS[name], args, attrs)
    (entry,) = tape.entries
    moving = entry._replace(inputs=(tape.parameters[0], *entry.inputs[1:]))
    with pytest.raises(TapeError, match="the op does not take"):
        tg.verify(replace(tape, entries=Entries([moving])))


def test_an_op_that_does_not_say_how_many_inputs_it_takes_is_not_registered() -> None:
    with pytest.raises(ValueError, match="declare its `arity`"):
        register(Op("of_some", lambda *operands, out=None: operands[0], broadcast, None))
    assert "of_some" not in OPS


def hostile_tapes() -> Iterator[Tape]:
    """Tapes that no loader has seen, with text or objects wherever a tape holds anything."""
    cumsum = tape_of(OPS["cumsum"], (np.ones(3),), {"axis": 0})
    (entry,) = cumsum.entries
    for text in CODE:
        yield replace(cumsum, entries=Entries([entry._replace(attrs=((text, 0),))]))
        yield replace(cumsum, entries=Entries([entry._replace(attrs=(("axis", 0), (text, 0)))]))
        yield replace(cumsum, entries=Entries([entry._replace(attrs=(("axis", text),))]))
        yield replace(cumsum, entries=Entries([entry._replace(op=replace(entry.op, name=text))]))
    yield replace(cumsum, entries=Entries([entry._replace(attrs=(("axis", Shouting(0)),))]))
    scalar = tape_of(exp, (1.0,), {})
    yield replace(scalar, constants=(scalar.constants[0]._replace(value=Shouting(1)),))


@pytest.mark.parametrize("tape", list(hostile_tapes()), ids=lambda tape: None)
def test_a_printer_writes_nothing_of_a_hostile_tape(tape: Tape) -> None:
    with pytest.raises(TapeError):
        tg.verify(tape)
    try:
        text = print_plan(plan(tape, (), 8192), deciding_slots(tape)).text
    except TapeError:
        return  # said so, and has written nothing
    assert not [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and n.id == "open"]


@pytest.mark.parametrize("tape", list(hostile_tapes()), ids=lambda tape: None)
def test_no_backend_runs_text_of_a_hostile_tape(tape: Tape) -> None:
    for name in present():
        make = BACKENDS[name]
        try:
            Executable(make(tape, (), 1), {}, False).run(np.ones(1), tuple)
        except (NameError, SyntaxError):  # foreign text has got into the source
            raise
        except Exception:  # the reference hands to the kernel what the printers refuse
            continue


# Every field of a file, changed -----------------------------------------------------------------------------


def fields_of(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within some JSON."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from fields_of(child, (*path, key))


def changed(content: Any, path: tuple[Any, ...], dice: random.Random) -> Any:
    """The same with one field renamed, replaced, dropped or doubled, chosen by the dice."""
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    key, way = path[-1], dice.random()
    if isinstance(node, dict) and way < 0.4:
        name = dice.choice((*CODE, *(text for text in OTHERS if isinstance(text, str))))
        node[name] = node.pop(key)
    elif isinstance(node, list) and way < 0.1:
        node.append(copy.deepcopy(node[key]))
    elif way < 0.2:
        del node[key]
    elif isinstance(node[key], int) and way < 0.4:
        node[key] += dice.choice((-1, 1, 2))
    else:
        node[key] = dice.choice((*CODE, *OTHERS, *OPS) if isinstance(node[key], str) else (*CODE, *OTHERS))
    return content


def branching(mu: Any, b: Any) -> Any:
    x = np.arange(5.0)
    total = np.where(x[1:] > mu, mu * x[:-1], b[0]).sum() + b[np.array([0, 1])].sum()
    return total + b[1] * mu if mu > 0.0 else total


def stored(item: Any) -> Any:
    save(item, "item.json")
    return json.loads(Path("item.json").read_text())


def assert_refused_or_sound(content: Any, backends: Sequence[str] | None = None) -> bool:
    """Whether the file is loaded; then it is sound."""
    Path("changed.json").write_text(json.dumps(content))
    try:
        item = load("changed.json")
    except StorageError:
        return False
    if isinstance(item, FitResult):
        assert item.summary().as_html() == item._repr_html_()
        return True
    tg.verify(item)
    assert str(item).startswith("tape ")
    run(item, backends)
    return True


# A marginal log-likelihood is an attribute of `given`, and `save` refuses it.
STORED = [op for op in OPS.values() if op.name != "given"]


@pytest.mark.parametrize("op", STORED, ids=lambda op: op.name)
def test_every_field_of_a_stored_op(op: Op) -> None:
    dice = random.Random(op.name)
    quick = ("numpy", "replay")  # C would be compiled for each of thousands of tapes
    for args, attrs in samples(op)[:2]:
        content = stored(tape_of(op, args, attrs))
        assert assert_refused_or_sound(content)
        for path in fields_of(content):
            assert_refused_or_sound(changed(content, path, dice), quick)
        for path in fields_of(content):  # the op's own fields are tried more often
            if path[1:2] == ("entries",):
                for _ in range(2):
                    assert_refused_or_sound(changed(content, path, dice), quick)


def test_every_field_of_stored_tapes_and_fits() -> None:
    dice = random.Random(20)
    traced = tg.trace(branching, {"mu": 1.0, "b": np.array([0.5, 2.0])})
    placed = tg.trace(lambda mu, i: (mu * np.ones(3))[i].sum(), {"mu": 1.0}, data={"i": np.array([0, 1])})
    items = (traced.tape, traced.grad_tape, placed.tape, fit(lambda mu: -(mu**2), {"mu": 1.0}))
    loaded = 0
    for item in items:
        content = stored(item)
        paths = list(fields_of(content))
        for path in paths + dice.sample(paths, len(paths) // 2):
            loaded += assert_refused_or_sound(changed(content, path, dice))
    assert loaded > 20  # among what is changed there are labels, sources and numbers
