"""Shares of a sum of exponentials, which its logarithm need not be taken for.

The derivative of ``logsumexp`` is ``exp(x - logsumexp(x))``, where an infinite sum counts as 0. What the sum
has computed already, ``exp(x - top)`` over its total, is the same number, and more exact where the logarithm
is large.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_EXP = re.compile(r"exp\((\w+) - (\w+)\)")
_TOTAL = re.compile(r"\w+(?: \+ \w+)+")
_LOG = re.compile(r"log\((\w+)\) \+ (\w+)")
_EQUAL = re.compile(r"(\w+) == (\w+)")
_WHERE = re.compile(r"tg_where\((\w+), 0\.0, (\w+)\)")
_DIFFERENCE = re.compile(r"(\w+) - (\w+)")
_SHARE = re.compile(r"exp\((\w+)\)")


class _Total(NamedTuple):
    """A sum of exponentials: what is taken from each exponent, and the exponential of each."""

    top: str
    exponentials: dict[str, str]


class Shares:
    """Knows which variables are exponentials, their sums, and logarithms of these.

    ``is_minus_infinity(name)`` says whether a constant is minus infinity.
    """

    def __init__(self, is_minus_infinity: Callable[[str], bool]) -> None:
        self._is_minus_infinity = is_minus_infinity
        self._exponents: dict[str, tuple[str, str]] = {}
        self._totals: dict[str, _Total] = {}
        self._logs: dict[str, str] = {}  # of which total, and so below
        self._are_nothing: dict[str, str] = {}
        self._finite: dict[str, str] = {}
        self._differences: dict[str, tuple[str, str]] = {}

    def of(self, text: str) -> tuple[str, str] | None:
        """The exponential and the total whose quotient an expression is, if it is one."""
        found = _SHARE.fullmatch(text)
        if found is None or found[1] not in self._differences:
            return None
        exponent, total = self._differences[found[1]]
        exponential = self._totals[total].exponentials.get(exponent)
        return None if exponential is None else (exponential, total)

    def note(self, name: str, text: str) -> None:
        """Take note of a variable."""
        if found := _EXP.fullmatch(text):
            self._exponents[name] = found[1], found[2]
        elif _TOTAL.fullmatch(text):
            terms = text.split(" + ")
            if all(term in self._exponents for term in terms):
                tops = {self._exponents[term][1] for term in terms}
                if len(tops) == 1:
                    known = {self._exponents[term][0]: term for term in terms}
                    self._totals[name] = _Total(tops.pop(), known)
        elif found := _LOG.fullmatch(text):
            if found[1] in self._totals and self._totals[found[1]].top == found[2]:
                self._logs[name] = found[1]
        elif found := _EQUAL.fullmatch(text):
            if found[1] in self._logs and self._is_minus_infinity(found[2]):
                self._are_nothing[name] = found[1]
        elif found := _WHERE.fullmatch(text):
            if self._are_nothing.get(found[1]) == found[2]:
                self._finite[name] = self._logs[found[2]]
        elif (found := _DIFFERENCE.fullmatch(text)) and found[2] in self._finite:
            self._differences[name] = found[1], self._finite[found[2]]
