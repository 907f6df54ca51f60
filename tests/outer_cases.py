"""Functions that write to arrays and objects from outside: right ones, and ones that must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np

START, OTHER = np.array([1.2, 0.7]), np.array([0.4, -1.3])
BUFFER, DATA = np.zeros(3), np.array([1.0, 2.0, 3.0])
TABLE = {"x": np.zeros((2, 2))}


def of_module(t: Any) -> Any:
    BUFFER[0] = t[0]
    BUFFER[1:] = t[1] ** 2
    return (BUFFER**2).sum()


def of_table(t: Any) -> Any:
    x = TABLE["x"]
    x[0] = t
    x[1, 0] = t[0] * t[1]
    return (TABLE["x"] ** 2).sum()


def of_closure() -> Any:
    held = np.zeros(2)

    def f(t: Any) -> Any:
        held[:] = t
        np.multiply(held, t, out=held)
        return (held**2).sum()

    return f


class Model:
    """As models do that hold their parameters in an array which is written over."""

    def __init__(self) -> None:
        self.params = np.zeros(3)
        self.data = DATA.copy()
        self.count = 3

    def set(self, t: Any) -> Any:
        self.params[:2] = t
        self.params[2] = t[0] * t[1]
        return (self.params**2).sum()

    def of_copy(self, t: Any) -> Any:
        x = self.data.copy()
        x[1:] = t
        return (x**3).sum() * self.count

    def of_results(self, t: Any) -> Any:
        x = self.data * 2.0
        x[x > 3.0] = t[0]
        x -= t[1]
        return (x**3).sum()


class Bounded:
    """Setting one property looks at the other one, which may be left from the call before."""

    def __init__(self) -> None:
        self._var = self._length = 1.0

    def _check(self) -> None:
        for value in (self._var, self._length):
            if not np.asarray(value, dtype=float) > 0.0:
                raise ValueError("not positive")

    @property
    def var(self) -> Any:
        return self._var

    @var.setter
    def var(self, value: Any) -> None:
        self._var = value
        self._check()

    def __call__(self, t: Any) -> Any:
        self.var = t[0]
        self._length = t[0] ** 2 + t[1] ** 2
        return self.var * np.exp(-DATA / self._length).sum()


def in_place(t: Any) -> Any:
    x = np.exp(DATA)
    total = (x * t[1]).sum()
    x *= t[0]
    x += t[1] ** 2
    return (x**2).sum() + total


def also_in_a_closure(t: Any) -> Any:
    x = np.exp(DATA)
    total = lambda: (x**2).sum()  # noqa: E731
    x -= t[1]
    return total()


def other_name(t: Any) -> Any:
    x = np.exp(DATA)
    y = x
    x -= t[1]
    return (y**2).sum()


def view(t: Any) -> Any:
    x = np.exp(DATA)
    y = x[1:]
    x -= t[1]
    return (y**2).sum()


def ignored_result(t: Any) -> Any:
    x = np.exp(DATA)
    np.multiply(x, t[1], out=x)
    return (x**2).sum()


class Aliased:
    """A view of what is written to, which no buffer takes the place of."""

    def __init__(self) -> None:
        self.all = np.zeros(3)
        self.rest = self.all[1:]

    def __call__(self, t: Any) -> Any:
        self.all[:2] = t
        return (self.all**2).sum() + (self.rest**3).sum()


class Adding:
    """What it gives depends on the calls before."""

    def __init__(self) -> None:
        self.total = np.zeros(2)

    def __call__(self, t: Any) -> Any:
        self.total[:] += t
        return (self.total**2).sum()


class Last:
    """So does what this gives, by attributes."""

    def __init__(self) -> None:
        self.last: Any = 1.0

    def __call__(self, t: Any) -> Any:
        before, self.last = self.last, t[0]
        return float(np.asarray(before)) * t[1] + t[0]


RIGHT = {
    "module": lambda: of_module,
    "table": lambda: of_table,
    "closure": of_closure,
    "attribute": lambda: Model().set,
    "copy of an attribute": lambda: Model().of_copy,
    "results of an attribute": lambda: Model().of_results,
    "properties": Bounded,
    "in place": lambda: in_place,
    "in place, and in a closure": lambda: also_in_a_closure,
}
REFUSED = {
    "other name": lambda: other_name,
    "view": lambda: view,
    "ignored result": lambda: ignored_result,
    "aliased": Aliased,
    "adding": Adding,
    "last": Last,
}
