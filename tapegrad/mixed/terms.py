"""The text of a formula, taken apart: response, fixed part, random terms, offsets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_OPEN, _CLOSED, _QUOTES = "([{", ")]}", "`'\""
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\((.*)\)", re.DOTALL)
# Identifiers that are neither attributes, nor called, nor keywords of a call; and names in backticks.
_NAMES = re.compile(r"`([^`]*)`|(?<![\w.])([^\W\d]\w*)(?![\w.]*\s*\()(?!\s*=[^=])")


class RandomTerm(NamedTuple):
    """One term such as ``(1 + x | a:b)``.

    Attributes
    ----------
    effects : str
        What stands left of the bar: columns that have an effect in each group.
    factors : tuple of str
        The columns whose combinations are the groups.
    is_correlated : bool
        Whether the effects of a group are; not with two bars.
    """

    effects: str
    factors: tuple[str, ...]
    is_correlated: bool

    @property
    def group(self) -> str:
        """The groups' name."""
        return ":".join(self.factors)


@dataclass(frozen=True)
class Predictor:
    """The right-hand side of a formula.

    Attributes
    ----------
    fixed : str
        Its fixed part, in formulaic's grammar.
    random : tuple of RandomTerm
    offsets : tuple of str
        Expressions that are added as they are.
    """

    fixed: str
    random: tuple[RandomTerm, ...]
    offsets: tuple[str, ...]


def split(text: str, separators: Sequence[str]) -> list[tuple[str, str]]:
    """A text cut at separators outside of brackets and quotes: each part after its separator ("" first)."""
    parts, depth, quote, begin, before, i = [], 0, "", 0, "", 0
    while i < len(text):
        letter = text[i]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        else:
            depth += (letter in _OPEN) - (letter in _CLOSED)
            found = next((one for one in separators if text.startswith(one, i)), None)
            if found is not None and depth == 0:
                parts.append((before, text[begin:i].strip()))
                begin, before = i + len(found), found
                i = begin
                continue
        i += 1
    if depth or quote:
        raise ValueError(f"formula: a bracket or a quote is not closed in {text.strip()!r}")
    return [*parts, (before, text[begin:].strip())]


def parse(formula: str) -> tuple[str, Predictor]:
    """The response, and the rest.

    Raises
    ------
    ValueError
        If it is not of the form ``response ~ terms``.
    """
    sides = split(formula, ["~"])
    if len(sides) != 2 or not sides[0][1]:
        raise ValueError(f"formula: 'response ~ x + (1 | group)' wanted, not {formula!r}")
    return sides[0][1], parse_predictor(sides[1][1])


def parse_predictor(text: str) -> Predictor:
    """The right-hand side of a formula, with or without its tilde."""
    text = text.strip().removeprefix("~")
    fixed, random, offsets = [], [], []
    for sign, term in split(text, ["+", "-"]):
        if not term:
            if sign or text.strip():
                fixed.append((sign, ""))
            continue
        found = _random_terms(term)
        call = _CALL.fullmatch(term)
        if found is None and not (call and call[1] == "offset"):
            fixed.append((sign, term))
            continue
        if sign == "-":
            raise ValueError(f"formula: {term} cannot be taken away; leave it out")
        if found is not None:
            random += found
        elif call:
            offsets.append(call[2].strip())
    joined = " ".join(f"{sign} {term}".strip() for sign, term in fixed).strip()
    joined = joined.removeprefix("+").strip()
    return Predictor(joined or "1", tuple(random), tuple(offsets))


def _random_terms(term: str) -> list[RandomTerm] | None:
    """The random terms that one in brackets stands for; None where it is none."""
    inside, is_diagonal = term[1:-1] if term.startswith("(") and term.endswith(")") else None, False
    call = _CALL.fullmatch(term)
    if inside is None and call and len(_bars(call[2])) > 1:
        if call[1] not in ("us", "diag"):
            raise ValueError(
                f"formula: the covariance structure {call[1]}() is none of this front's; write the joint "
                "log-likelihood for tapegrad.fit(..., random=), with tapegrad.stats.ar1, "
                "multivariate_normal_prec or another density"
            )
        inside, is_diagonal = call[2], call[1] == "diag"
    if inside is None or len(_bars(inside)) == 1:
        if len(_bars(term)) > 1 or re.search(r"\([^()]*\|[^()]*\)", term):
            raise ValueError(
                f"formula: a random term stands in brackets of its own, as in (1 | group); {term} is none"
            )
        return None
    parts = _bars(inside)
    if len(parts) != 2 or not all(text for _, text in parts):
        raise ValueError(f"formula: a random term is (effects | group), not {term}")
    (_, effects), (bar, group) = parts
    return [RandomTerm(effects, one, bar == "|" and not is_diagonal) for one in _groupings(group, term)]


def _bars(text: str) -> list[tuple[str, str]]:
    return split(text, ["||", "|"])


def _groupings(text: str, term: str) -> list[tuple[str, ...]]:
    """``a/b`` is nested: a, and b within a. ``a:b`` are their combinations."""
    levels: list[tuple[str, ...]] = []
    for _, level in split(text, ["/"]):
        names = tuple(_plain_name(name, term) for _, name in split(level, [":"]))
        levels.append((*(levels[-1] if levels else ()), *names))
    return levels


def _plain_name(text: str, term: str) -> str:
    found = _NAMES.fullmatch(text)
    if found is None:
        raise ValueError(
            f"formula: groups are columns of the data, joined by : or /, and {text!r} in {term} is no "
            "column's name; make a column of it"
        )
    return found[1] or found[2]


def columns_in(text: str) -> list[str]:
    """The columns that an expression names."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
    return list(dict.fromkeys(quoted or name for quoted, name in _NAMES.findall(bare)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known."""
    known = list(map(str, known))
    close = difflib.get_close_matches(name, known, n=1)
    guess = close or [one for one in known if one.lower() == name.lower()]
    return f"; did you mean {guess[0]!r}?" if guess else f"; there are {', '.join(known)}"
