"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # One thread for NumPy's matrix products, which would otherwise take all cores. It has to be said before
    # NumPy is loaded; whoever says something else keeps it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import costs, report
from benchmarks.contestants import PEERS, installed_peers
from benchmarks.fits import FITS, print_fits
from benchmarks.loops import LOOPS
from benchmarks.measure import TRACE_OPS, Mismatch, trace_cost
from benchmarks.models import MODELS
from benchmarks.profiles import MODELS as PROFILES
from benchmarks.profiles import print_profiles
from benchmarks.sections import SECTIONS, TIMES, print_section, print_times

GPU_ROWS, CPU_ROWS = 10_000_000, 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments ask for, and return the exit status."""
    options = parse(arguments)
    try:
        return run(options)
    except Mismatch as mismatch:
        print(f"error: {mismatch}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Run what was asked for; raises `Mismatch` where contestants disagree."""
    if options.trace_cost:
        print_trace_cost()
    elif options.references:
        from benchmarks.references import print_references  # reads the tests' data

        return print_references()
    elif options.accuracy:
        from benchmarks.accuracy import print_accuracy  # needs mpmath

        return print_accuracy()
    elif options.loops is not None:
        from benchmarks.loops.compare import print_loops

        print_loops(options.loops or list(LOOPS), options.before)
    elif options.laplace is not None:
        from benchmarks.laplace.compare import print_laplace  # reads the tests' models

        print_laplace(options.laplace)
    elif options.gpu is not None:
        from benchmarks.gpu import print_gpu

        return print_gpu(options.gpu, GPU_ROWS if options.gpu == "gpu" else CPU_ROWS)
    elif options.scale is not None:
        from benchmarks.scale.compare import SIZES, print_scale

        return print_scale(options.scale or SIZES, options.plot)
    elif options.fits is not None:
        print_fits(options.fits or list(FITS))
    elif options.profiles is not None:
        print_profiles(options.profiles or list(PROFILES))
    elif options.costs:
        costs.print_costs(options.json)
    else:
        compare(options)
    return 0


def compare(options: argparse.Namespace) -> None:
    """Print the sections, and write the files."""
    peers = installed_peers() if options.peers or options.sections else {}
    packages = sorted({PEERS[name][0] for name in peers} - {"numpy"})
    wanted = options.sections or ((TIMES, *SECTIONS) if options.peers else (TIMES,))
    models = options.models or list(MODELS)
    found: dict[str, list[Any]] = {}
    trace_op_s = None
    print(*(f"{name} {value}" for name, value in report.environment(packages).items()), sep=", ")
    if TIMES in wanted:
        found["results"] = print_times(models, options.sizes, peers)
        if not options.models and not options.sizes:
            trace_op_s = print_trace_cost()
    for name, section in SECTIONS.items():
        if name in wanted:
            found[name] = print_section(section, models, options.sizes, "jax" in peers)
    if options.json:
        report.write_json(options.json, packages, found, trace_op_s)
    if options.plot and TIMES in wanted:
        report.write_plot(options.plot, found["results"])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Median time of one value and gradient at changing parameters, the time to trace, that "
        "of the first call, and peak memory. All contestants must agree before they are timed.",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", choices=MODELS, help=", ".join(MODELS))
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="numbers of observations")
    parser.add_argument(
        "--peers", action="store_true", help="against the other libraries installed here, in all sections"
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        metavar="NAME",
        choices=[TIMES, *SECTIONS],
        help=f"only these sections of --peers: {', '.join([TIMES, *SECTIONS])}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot time against size (needs matplotlib)")
    parser.add_argument("--trace-cost", action="store_true", help="only print the cost of tracing a loop")
    parser.add_argument(
        "--references", action="store_true", help="only print how many digits agree with published results"
    )
    parser.add_argument(
        "--accuracy", action="store_true", help="only print the worst error of each op and density"
    )
    parser.add_argument(
        "--loops",
        nargs="*",
        metavar="NAME",
        choices=LOOPS,
        help=f"only Python loops, all or some: {', '.join(LOOPS)}",
    )
    parser.add_argument(
        "--laplace", nargs="*", metavar="NAME", help="only models with random effects, beside TMB in R"
    )
    parser.add_argument(
        "--scale", nargs="*", type=int, metavar="ROWS", help="only data in chunks, on Dask's workers"
    )
    parser.add_argument(
        "--gpu",
        nargs="?",
        const="gpu",
        choices=["gpu", "cpu"],
        help="only the backend 'jax' on a GPU; on the processor, to try the script",
    )
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="with --loops: an earlier tapegrad in DIR, to compare with"
    )
    parser.add_argument(
        "--fits", nargs="*", metavar="NAME", choices=FITS, help=f"only whole fits: {', '.join(FITS)}"
    )
    parser.add_argument(
        "--profiles",
        nargs="*",
        metavar="NAME",
        choices=PROFILES,
        help=f"only profile intervals, beside iminuit's MINOS: {', '.join(PROFILES)}",
    )
    parser.add_argument("--costs", action="store_true", help="only print what derivatives cost")
    return parser.parse_args(arguments)


def print_trace_cost() -> float:
    """Print, and return in seconds, what tracing costs per operation."""
    cost = trace_cost()
    print(f"\ntracing a loop of {TRACE_OPS:,} scalar operations: {1e6 * cost:.2f} us per operation")
    return cost


if __name__ == "__main__":
    sys.exit(main())
