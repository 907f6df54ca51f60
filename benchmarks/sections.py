"""What ``--peers`` prints, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import compiled, firstcalls, hessians, memory, report, targets, views
from benchmarks.contestants import CONTESTANTS, Prepare
from benchmarks.measure import Result, measure
from benchmarks.models import ARRAY_SIZES, MODELS, Model


@dataclass(frozen=True)
class Section:
    """A table of its own, a line or more for each model at each size.

    `lines` measures a model at a size, with JAX or without; what it yields prints as a line.
    """

    title: str
    head: str
    foot: tuple[str, ...]
    lines: Callable[[Model, int, bool], Iterator[Any]]
    sizes: tuple[int, ...] = ARRAY_SIZES


TIMES: Final = "times"
SECTIONS: Final = {
    "hessian": Section("Hessian", hessians.HEAD, hessians.FOOT, hessians.timings),
    "first-call": Section(
        "trace and first gradient; of JAX, jit and first call",
        firstcalls.HEAD,
        firstcalls.FOOT,
        firstcalls.timings,
    ),
    "views": Section("value and gradient on views of the data", views.HEAD, views.FOOT, views.timings),
    "compiled": Section(
        "tapegrad's C: value and gradient",
        compiled.HEAD,
        compiled.FOOT,
        compiled.timings,
    ),
    "compiled-hessian": Section(
        "tapegrad's C: Hessian, and the compiler",
        compiled.LATER_HEAD,
        compiled.LATER_FOOT,
        compiled.later,
    ),
    "memory": Section("peak memory beyond the data", memory.HEAD, memory.FOOT, memory.peaks, (memory.N,)),
}


def print_times(
    models: Iterable[str], sizes: Sequence[int] | None, peers: dict[str, Prepare]
) -> list[Result]:
    """Time value and gradient, print the table, and with peers that of the ratios aimed at."""
    print(f"\n{report.header(peers)}")
    results: list[Result] = []
    for name in models:
        for n in sizes or MODELS[name].sizes:
            cell = measure(MODELS[name], n, CONTESTANTS | peers)
            print(report.row(cell, peers), flush=True)
            results += cell
    arrays = [result for result in results if not MODELS[result.model].is_loop]
    if peers and arrays:
        head, *lines = targets.table(arrays)
        title = "value and gradient: ratios, with * where a target is missed"
        print("", *report.titled(title, head), *lines, sep="\n", flush=True)
    return results


def print_section(
    section: Section, models: Iterable[str], sizes: Sequence[int] | None, with_jax: bool
) -> list[Any]:
    """Measure and print one section; the models that are Python loops take no part."""
    print("", *report.titled(section.title, section.head), sep="\n")
    found = []
    for model in (MODELS[name] for name in models if not MODELS[name].is_loop):
        for n in sizes or section.sizes:
            for item in section.lines(model, n, with_jax):
                print(item, flush=True)
                found.append(item)
    print(*section.foot, sep="\n", flush=True)
    return found
