"""Random loops as Python source: what they do is plain NumPy, and every line is a line of a user's code."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

import tapegrad as tg

Lines = list[str]

UNARY = ("np.sin({})", "np.tanh({})", "np.exp(-abs({}))", "np.log1p(np.abs({}))", "-({})", "np.cos({}) ** 2")
BINARY = (
    "({} + {})",
    "({} - {})",
    "({} * np.tanh({}))",
    "({} / (1.5 + np.abs({})))",
    "np.maximum({}, {})",
    "np.minimum({}, {})",
    "np.logaddexp({}, {})",
    "half({}, {})",
)
NUMBERS = ("1.0", "0.5", "2.0", "0.0", "-1.0")
CARRIES = (
    "{c} = 0.4 * {c} + {e}",
    "{c} = a + 0.1 * {e} + 0.3 * {c}",
    "{c} = np.tanh({c} + {e})",
    "{c} = {c} / 3.0 - {e}",
    "{c} = {e} - 0.5 * {c}",
    "{c} = np.sin({c}) * {e}",
    "{c} = np.maximum(0.5 * {c}, {e})",
    "{c}, {o} = 0.3 * {o} + {e}, 0.2 * {c} - b",
    "{c}, {o} = np.tanh({e}), 0.5 * {c}",
)
CHAINS = (
    "total = total + {e}",
    "total += {e}",
    "total -= {e}",
    "total = {e} + total",
    "total = total - {e} + 1.0",
    "product *= 1.0 + 0.1 * np.sin({e})",
    "product = product * np.cos({e})",
    "logs = np.logaddexp(logs, {e})",
    "logs = np.logaddexp(np.tanh({e}), logs)",
    "most = np.maximum(most, {e})",
    "least = np.minimum({e}, least)",
    "late = late * 0.5 + total",
    "late = late + 0.1 * product",
)
VECTORS = (
    "u = np.tanh(0.5 * u + {e})",
    "u = np.maximum(0.3 * u, v * {e})",
    "u = np.stack([u[1], np.tanh({e}), u[0]])",
    "u = m @ u * 0.3 + {e} * v",
    "total += np.sum(u * v) * {e}",
    "total += u[0] * u[i % 3]",
    "logs = np.logaddexp(logs, u[1])",
)
DATA_TESTS = ("d[i]", "x[i] > 0.5", "g[i] == 1", "i % 3 == 0", "not d[i]", "i in (0, n - 1)", "x[i] == 1.0")
ENDS = (
    "continue",
    "break",
    "return total + logs + 0.01 * (a + b + v.sum())",
    "return product * most + a + b * v.sum()",
)
HEAD = """\
def program(a, b, v):
    c, o, u = a, 0.5, v
    total = 0.0
    product = 1.0
    logs = -1.0
    most, least = -0.5, b
    late = 0.0
    kept = [a, 0.3, b]
    filled = np.zeros_like(v, shape=n + 1)
    for i in range(n):
"""
TAIL = """\
    for item in kept[2:]:
        total -= np.sin(item) * 0.3
    rest = c + o + product + logs + most - least + late + filled.sum() + u[2]
    return total + 0.1 * rest + 0.01 * (a + b + v.sum())
"""
NAMES = ("a", "b", "v[0]", "v[2]", "v[g[i]]", "v[i % 3]", "x[i]", "x[i - 1]", "w[i]", "c", "o")
NAMES += (
    "kept[-1]",
    "kept[-2]",
    "kept[-3]",
    "filled[i]",
    "filled[i - 1]",
    "total",
    "late",
    "i / 7.0",
    "w[-1]",
)


# What kinds of statements there are, and how often they occur in programs of different characters.
KINDS = ("local", "carry", "chain", "keep", "fill", "if", "if traced", "loop", "end", "vector")
WEIGHTS = (
    (4, 3, 5, 1, 1, 2, 1, 1, 0.7, 0.0),
    (2, 2, 2, 0, 0, 1, 5, 1, 0.3, 0.0),  # branches on parameters
    (1, 6, 1, 1, 1, 1, 1, 0, 0.2, 0.0),  # recurrences
    (2, 1, 2, 0, 0, 1, 0.5, 1, 0.2, 4),  # small arrays
    (2, 0, 3, 0, 1, 1, 0, 6, 0.5, 0.0),  # loops inside loops
)


@dataclass
class Writer:
    """Writes a program; `depth` is that of loops, `nested` of branches, `locals` counts names."""

    random: Random
    weights: tuple[float, ...]
    depth: int = 0
    locals: int = 0
    nested: int = 0

    def expression(self, size: int) -> str:
        """Of about so many operations."""
        random = self.random
        if size <= 0:
            return random.choice(NUMBERS) if random.random() < 0.15 else random.choice(self.names())
        if random.random() < 0.3:
            return random.choice(UNARY).format(self.expression(size - 1))
        left = random.randint(0, size - 1)
        form = random.choice(BINARY)
        return form.format(self.expression(left), self.expression(size - 1 - left))

    def names(self) -> tuple[str, ...]:
        """What an expression may read; parameters and data more often than sums that are not finished."""
        inner = ("x[(i - j) % n]", "v[j % 3]") if self.depth else ()
        return NAMES[:9] + NAMES + inner + tuple(f"t{k}" for k in range(self.locals)) * 3

    def body(self, size: int) -> Lines:
        """Statements, indented by nothing."""
        before = self.locals
        lines = [line for _ in range(size) for line in self.statement()]
        self.locals = before
        return lines

    def statement(self) -> Lines:
        """One statement, in lines."""
        random = self.random
        kind = random.choices(KINDS, self.weights)[0]
        e = self.expression(random.randint(0, 3))
        if kind == "local":
            self.locals += 1
            return [f"t{self.locals - 1} = {e}"]
        if kind == "carry":
            c, o = random.choice((("c", "o"), ("o", "c")))
            return [random.choice(CARRIES).format(c=c, o=o, e=f"np.tanh({e})")]
        if kind == "chain":
            return [random.choice(CHAINS).format(e=e)]
        if kind == "keep":
            return [random.choice(("kept.append({})", "kept.append(np.tanh({}))")).format(e)]
        if kind == "fill":
            return [random.choice(("filled[i] = np.tanh({})", "filled[i] += np.sin({})")).format(e)]
        if kind == "vector":
            return [random.choice(VECTORS).format(e=f"np.tanh({e})")]
        if kind == "loop":
            return self.inner()
        test = random.choice(DATA_TESTS) if kind != "if traced" else f"{e} > {random.choice(NUMBERS)}"
        if kind == "end":
            if self.depth:
                return [f"if {test}:", "    " + random.choice(ENDS[:2])]
            late = " and i > 9" if random.random() < 0.7 else ""
            return [f"if ({test}){late}:", "    " + random.choice(ENDS)]
        if self.nested == 2:
            return [f"total += {e} if {test} else b"]
        self.nested += 1
        lines = [f"if {test}:", *indented(self.body(random.randint(1, 2)))]
        if random.random() < 0.5:
            lines += ["else:", *indented(self.body(random.randint(1, 2)))]
        self.nested -= 1
        return lines

    def inner(self) -> Lines:
        """A loop in the loop, with an accumulation of its own."""
        if self.depth:
            return [f"total += {self.expression(2)}"]
        self.depth += 1
        count = self.random.choice(("2", "3", "int(k[i])", "int(k[i])", "i % 4", "9"))
        lines = ["inner = 0.0", f"for j in range({count}):"]
        lines += indented([*self.body(self.random.randint(1, 2)), f"inner += {self.expression(2)}"])
        self.depth -= 1
        return [*lines, f"total += {self.random.choice(('inner', 'np.tanh(inner)', 'c * np.sin(inner)'))}"]


def indented(lines: Lines) -> Lines:
    """The lines, inside something."""
    return ["    " + line for line in lines]


@dataclass(frozen=True)
class Program:
    """A random loop and its data."""

    source: str
    n: int
    seed: int

    def function(self) -> Callable[..., Any]:
        """The program, compiled under a name of its own."""
        rng = np.random.default_rng(self.seed)
        n = self.n
        x = rng.choice([0.0, 1.0, 1.0, 0.5, -1.0, 0.3, 1.7], n) if self.seed % 2 else rng.normal(size=n)
        names = dict(
            np=np,
            n=n,
            x=x,
            w=rng.normal(size=max(n, 1)),
            d=rng.random(n) < 0.6,
            g=rng.integers(0, 3, n),
            k=rng.integers(0, 4, n),
            m=rng.normal(size=(3, 3)),
            half=lambda left, right: 0.5 * left + 0.5 * right,
        )
        name = f"<loop {hash(self.source) & 0xFFFFFFFF:x}>"
        linecache.cache[name] = len(self.source), None, self.source.splitlines(keepends=True), name
        exec(compile(self.source, name, "exec"), names)
        return names["program"]

    def theta(self, place: int) -> dict[str, Any]:
        """One of some places."""
        rng = np.random.default_rng([self.seed, place])
        return dict(a=float(rng.normal()), b=float(rng.normal()), v=rng.normal(size=3))


def program(random: Random) -> Program:
    """A random program."""
    body = Writer(random, random.choice(WEIGHTS)).body(random.randint(1, 5))
    n = random.choice((0, 1, 2, 9, 13, 17, 20, 24, 30, 40))
    lines = "".join(f"        {line}\n" for line in body)
    return Program(HEAD + lines + TAIL, n, random.randint(0, 999))


def disagreement(made: Program, hessian: bool = True, backend: str = "replay") -> str | None:
    """In what the short tape differs from the record and from plain calls, None where in nothing."""
    f = made.function()
    short, long = (tg.trace(f, made.theta(0), backend=backend, reroll=on) for on in (True, False))
    for place in (0, 1, 2):
        theta = made.theta(place)
        plain = f(**{name: np.float64(item) if name != "v" else item.copy() for name, item in theta.items()})
        flat = np.concatenate([np.ravel(item) for item in theta.values()])
        if not near(short(theta), plain):
            return f"value {short(theta)!r}, plain call {plain!r}"
        for what, found, expected in (
            ("value", short(theta), long(theta)),
            ("gradient", *(traced.value_and_grad_flat(flat)[1] for traced in (short, long))),
        ):
            if not near(found, expected):
                return f"{what} {found!r}, record {expected!r}"
        if hessian:
            found, expected = (traced.hessian_flat(flat) for traced in (short, long))
            if not near(found, expected):
                return f"Hessian {found!r}, record {expected!r}"
    return None


def near(found: Any, expected: Any) -> bool:
    """Equal to 1e-9 of the largest; these loops blow up rounding errors by no more than 1000."""
    scale = max(1.0, float(np.max(np.abs(expected))))
    return bool(np.all(np.abs(np.subtract(found, expected)) <= 1e-9 * scale))
