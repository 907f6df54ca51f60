"""Products of the same numbers in another order: sums of them are the same but for rounding.

A Hessian is symmetric, and its tape does not know it: ``sum(w * x * y)`` stands there as ``sum((x * w) * y)``
and as ``sum((y * w) * x)``.
"""

from __future__ import annotations

import re

_PRODUCT = re.compile(r"(\w+) \* (\w+)")
_DEEPEST = 3  # products of products that are looked into


class Factors:
    """Knows which variables are products."""

    def __init__(self) -> None:
        self._products: dict[str, tuple[str, str]] = {}
        self._sums: dict[tuple[str, ...], str] = {}

    def note(self, name: str, text: str) -> None:
        """Take note of a variable."""
        if found := _PRODUCT.fullmatch(text):
            self._products[name] = found[1], found[2]

    def summed(self, term: str, name: str) -> str:
        """The sum of a product over all rows: an earlier one, or from now on the one with this name."""
        found = _PRODUCT.fullmatch(term)
        if found is None:
            return name
        factors = sorted(factor for part in found.groups() for factor in self._of(part, _DEEPEST))
        return self._sums.setdefault(tuple(factors), name)

    def _of(self, name: str, depth: int) -> list[str]:
        if depth == 0 or name not in self._products:
            return [name]
        return [factor for part in self._products[name] for factor in self._of(part, depth - 1)]
