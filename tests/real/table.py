"""The table of functions that were not written for tapegrad: what a row is, and what it is compared with.

A row is a function that makes the package's objects and gives what is traced, as it stands. It imports the
package itself, so that rows of absent packages are skipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

Function = Callable[[Any], Any]


class Real(NamedTuple):
    """What a row makes.

    Attributes
    ----------
    f : callable
        The function of a vector that is traced.
    gradient, hessian : callable or None
        The package's own derivatives, where it has them. Otherwise differences of plain calls stand for them.
    """

    f: Function
    gradient: Function | None = None
    hessian: Function | None = None


class Row(NamedTuple):
    """A row of the table: package, name of the function, how it is made, and two places."""

    package: str
    name: str
    make: Callable[..., Any]
    start: np.ndarray
    other: np.ndarray
    rtol: float
    refused: str | None

    def real(self) -> Real:
        """What is traced; the test is skipped where the package is absent."""
        module = pytest.importorskip(self.package, exc_type=ImportError)
        made = self.make(module)
        return made if isinstance(made, Real) else Real(made)

    @property
    def label(self) -> str:
        """The row in reports."""
        return f"{self.package}: {self.name}"


ROWS: list[Row] = []


def row(
    name: str,
    start: Sequence[float],
    other: Sequence[float] | None = None,
    rtol: float = 1e-7,
    refused: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function in the table: its name with its module, and two places at which it is compared.

    `refused` is a part of the message where a function cannot be traced.
    """
    package, _, rest = name.partition(": ")
    first = np.array(start, dtype=np.float64)
    second = first * 1.07 + 0.013 if other is None else np.array(other, dtype=np.float64)

    def enter(make: Callable[..., Any]) -> Callable[..., Any]:
        ROWS.append(Row(package, rest, make, first, second, rtol, refused))
        return make

    return enter


def module(name: str) -> Any:
    """A module by its name."""
    return importlib.import_module(name)


# Differences of plain calls ---------------------------------------------------------------------------------

# Weights of central differences of order 8, at 1, 2, 3 and 4 steps.
_FIRST = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
_SECOND = np.array([8 / 5, -1 / 5, 8 / 315, -1 / 560])
_STEPS = (1e-1, 5e-2, 2e-2, 1e-2, 4e-3, 1.5e-3, 5e-4, 2e-4)


class Differences:
    """First and second derivatives by differences of order 8, each with what two steps differ by."""

    def __init__(self, f: Function, point: np.ndarray) -> None:
        self.f = lambda theta: float(np.sum(f(theta)))
        self.point = point
        self.middle = self.f(point.copy())
        self.scale = np.maximum(np.abs(point), 0.1)

    def gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """The gradient, and how far off it may be."""
        return self._all([self._along(unit, is_second=False) for unit in np.diag(self.scale)], self.scale)

    def hessian(self) -> tuple[np.ndarray, np.ndarray]:
        """The Hessian, and how far off it may be: second derivatives along sums of two axes."""
        n = self.point.size
        units = np.diag(self.scale)
        along = {i: self._along(units[i], is_second=True) for i in range(n)}
        found, off = np.empty((n, n)), np.empty((n, n))
        for i in range(n):
            for j in range(i + 1):
                if i == j:
                    value, error = along[i]
                else:
                    value, error = self._along(units[i] + units[j], is_second=True)
                    value = 0.5 * (value - along[i][0] - along[j][0])
                    error = 0.5 * (error + along[i][1] + along[j][1])
                scales = self.scale[i] * self.scale[j]
                found[i, j] = found[j, i] = value / scales
                off[i, j] = off[j, i] = error / scales
        return found, off

    def _all(self, pairs: Any, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, off = np.array(pairs).T
        return found / scale, off / scale

    def _along(self, direction: np.ndarray, is_second: bool) -> tuple[float, float]:
        """The derivative along a direction, by the two neighbouring steps that agree best."""
        weights = _SECOND if is_second else _FIRST
        results = []
        for step in _STEPS:
            total = 0.0
            for k, weight in enumerate(weights, 1):
                up, down = (self.f(self.point + sign * k * step * direction) for sign in (1.0, -1.0))
                total += weight * (up - 2.0 * self.middle + down if is_second else up - down)
            results.append(total / step ** (2 if is_second else 1))
        gaps = [abs(a - b) if np.isfinite(a) and np.isfinite(b) else np.inf for a, b in pairwise(results)]
        best = int(np.argmin(gaps))
        return results[best + 1], gaps[best]
