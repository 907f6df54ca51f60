"""What all pictures share: axes, colours, and texts that stay inside of their figure."""

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

# Of M. Okabe and K. Ito: told apart by every kind of colour blindness. In grey, blue is darker than orange.
FIRST: Final = "#0072B2"
SECOND: Final = "#E69F00"
REFERENCE: Final = "0.45"
# What belongs to the second colour has another line as well.
SECOND_LINE: Final = (0, (4, 2))

_LINES: Final = 3
_ROUNDS: Final = 4
_TITLE: Final = 10.0
_NARROW: Final = 150.0  # axes, in points
_ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"


def new_figure(width: float, height: float) -> Any:
    """A figure of pyplot, which notebooks and ``plt.show()`` show."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('pictures need matplotlib: python -m pip install "tapegrad[plots]"') from error
    return pyplot.figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Any, width: float = 5.0, height: float = 4.0) -> Any:
    """The axes given, or those of a new figure."""
    return new_figure(width, height).subplots() if ax is None else ax


def plain(text: str) -> str:
    """The text itself: no formula of TeX begins in it."""
    return text.replace("$", r"\$")


class Labels(NamedTuple):
    """What is written at axes.

    Attributes
    ----------
    x, y, title : str
        Nothing where empty.
    legend : bool
    where : mapping
        Where the legend stands, as matplotlib takes it.
    """

    x: str = ""
    y: str = ""
    title: str = ""
    legend: bool = False
    where: Mapping[str, Any] = MappingProxyType({})


def finish(ax: Any, labels: Labels) -> None:
    """Label axes with all that is drawn; what is too long for them is written in several lines, or cut."""
    finish_all([(ax, labels)])


def finish_all(pairs: Sequence[tuple[Any, Labels]]) -> None:
    """Label several axes of one figure."""
    figure = pairs[0][0].figure
    points = 72.0 / figure.dpi
    texts = [tuple(text[:1] for text in labels[:3]) for _, labels in pairs]
    for _ in range(_ROUNDS):
        for (ax, _), (x, y, title) in zip(pairs, texts, strict=True):
            ax.set_xlabel(x)
            ax.set_ylabel(y)
            ax.set_title(title, fontsize=_TITLE)
        # Only now is known what room the layout leaves: lines of labels take some of it.
        _lay_out(figure)
        fitted = [_fitted(ax, labels, points) for ax, labels in pairs]
        if fitted == texts:
            break
        texts = fitted
    for ax, labels in pairs:
        _thin_ticks(ax)
        if labels.legend:
            small = "small" if ax.get_window_extent().width * points > _NARROW else "x-small"
            ax.legend(frameon=False, fontsize=small, handlelength=1.8, **labels.where)


def _lay_out(figure: Any) -> None:
    """Give the axes of a figure their places, as drawing it would."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _fitted(ax: Any, labels: Labels, points: float) -> tuple[str, ...]:
    """The texts in lines that have room at the axes as they are."""
    box, size = ax.get_window_extent(), ax.xaxis.label.get_size()
    across, up = box.width * points, box.height * points
    return (
        in_lines(labels.x, across, size),
        in_lines(labels.y, up, size),
        in_lines(labels.title, across, _TITLE),
    )


def name_lines(ax: Any, places: Any, names: Any, behind: Any = None, share: float = 0.38) -> None:
    """Names at the lines of the vertical axis; none takes more than a share of the figure's width.

    Parameters
    ----------
    behind : sequence of str, optional
        What stands behind each name, and is not cut with it.
    """
    size, width = _tick_size(ax), _width_of(ax) * share
    ends = [""] * len(names) if behind is None else behind
    texts = [
        cut(plain(name), width - width_in_points(end, size), size) + end
        for name, end in zip(names, ends, strict=True)
    ]
    ax.set_yticks(places, texts)


def _width_of(ax: Any) -> float:
    """The room of axes with what stands beside them, in points: their cell of the figure."""
    place = ax.get_subplotspec()
    figure = ax.figure
    width = figure.get_window_extent().width * 72.0 / figure.dpi
    if place is None:
        return float(width * ax.get_position().width)
    return float(width / place.get_gridspec().ncols * len(place.colspan))


def _tick_size(ax: Any) -> float:
    labels = ax.yaxis.get_ticklabels()
    return float(labels[0].get_size()) if labels else 10.0


def width_in_points(text: str, size: float) -> float:
    """How wide a line of text is: its letters one after the other, each measured once."""
    return size * sum(map(_width_of_letter, text.replace(r"\$", "$")))


@cache
def _width_of_letter(letter: str) -> float:
    """The width of a letter with the room about it, at a size of one point."""
    from matplotlib.textpath import TextPath

    def ink(text: str) -> float:
        return float(TextPath((0.0, 0.0), text, size=10.0, usetex=False).get_extents().width)

    return (ink(f"H{letter}H".replace("$", r"\$")) - ink("HH")) / 10.0


def cut(text: str, room: float, size: float) -> str:
    """The text, with its middle left out if it is too wide."""
    if width_in_points(text, size) <= room:
        return text
    for kept in range(len(text) - 1, 4, -1):
        head, tail = text[: (kept + 1) // 2].rstrip("\\"), text[len(text) - kept // 2 :]
        shown = f"{head}{_ELLIPSIS}{tail}"
        if width_in_points(shown, size) <= room:
            return shown
    return _ELLIPSIS


def in_lines(text: str, room: float, size: float) -> str:
    """The text in up to three lines, each of which has room; it breaks between words, or within long ones."""
    text = plain(text)
    if width_in_points(text, size) <= room:
        return text
    pieces = []
    for word in re.findall(r"\S+\s*", text):
        fits = width_in_points(word.rstrip(), size) <= room
        pieces += [word] if fits else re.findall(r"[^_.,\[\]]*[_.,\[\]]+\s*|[^_.,\[\]]+", word)
    lines = [""]
    for piece in pieces:
        full = width_in_points((lines[-1] + piece).rstrip(), size) > room
        if full and lines[-1] and len(lines) < _LINES:
            lines.append("")
        lines[-1] += piece
    return "\n".join(cut(line.rstrip(), room, size) for line in lines)


def _thin_ticks(ax: Any) -> None:
    """Fewer ticks where their labels would touch."""
    if ax.get_xscale() != "linear" or ax.get_navigate_mode() is not None:
        return
    boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    low, high = ax.get_window_extent().intervalx
    boxes = [box for box in boxes if low - 1.0 <= 0.5 * (box.x0 + box.x1) <= high + 1.0]
    if any(left.x1 + 4.0 > right.x0 for left, right in itertools.pairwise(boxes)):
        widest = max(box.width for box in boxes)
        ax.locator_params(axis="x", nbins=max(1, int((high - low) / (1.6 * widest))))


def mark(ax: Any, x: Any, y: Any, labels: Any, *, below: bool = False) -> None:
    """Write labels beside points of finished axes, towards the middle; or to the right and below.

    The first ones have their places; one that would stand on another is left out.
    """
    low, high = ax.get_xlim()
    taken: list[Any] = []
    for across, up, label in zip(x, y, labels, strict=True):
        right = across > 0.5 * (low + high)
        text = ax.annotate(
            plain(str(label)),
            (across, up),
            xytext=(-5 if right else 5, (7 if right else -7) if below else 0),
            textcoords="offset points",
            fontsize="small",
            ha="right" if right else "left",
            va="center",
        )
        box = text.get_window_extent().padded(2.0)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
