"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import costs, report
from benchmarks.contestants import CONTESTANTS, installed_peers
from benchmarks.measure import TRACE_OPS, Mismatch, Result, measure, trace_cost
from benchmarks.models import MODELS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments ask for, and return the exit status."""
    options = parse(arguments)
    if options.trace_cost:
        print_trace_cost()
        return 0
    if options.references:
        from benchmarks.references import print_references  # reads the tests' data

        return print_references()
    if options.costs:
        return print_costs(options.json)
    peers = installed_peers() if options.peers else {}
    print(report.header(peers))
    results: list[Result] = []
    for name in options.models or MODELS:
        for n in options.sizes or MODELS[name].sizes:
            try:
                cell = measure(MODELS[name], n, CONTESTANTS | peers)
            except Mismatch as mismatch:
                print(f"error: {mismatch}", file=sys.stderr)
                return 1
            print(report.row(cell, peers), flush=True)
            results += cell
    everything = not options.models and not options.sizes
    trace_op_s = print_trace_cost() if everything else None
    if options.json:
        report.write_json(options.json, results, trace_op_s)
    if options.plot:
        report.write_plot(options.plot, results)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Median time of one value and gradient at changing parameters, the time to trace, that "
        "of the first call, and peak memory. All contestants must agree before they are timed.",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", choices=MODELS, help=", ".join(MODELS))
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="numbers of observations")
    parser.add_argument("--peers", action="store_true", help="also time the other libraries installed here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot time against size (needs matplotlib)")
    parser.add_argument("--trace-cost", action="store_true", help="only print the cost of tracing a loop")
    parser.add_argument(
        "--references", action="store_true", help="only print how many digits agree with published results"
    )
    parser.add_argument("--costs", action="store_true", help="only print what derivatives cost")
    return parser.parse_args(arguments)


def print_costs(file: Path | None) -> int:
    """Print what derivatives cost, and return the exit status."""
    try:
        costs.print_costs(file)
    except Mismatch as mismatch:
        print(f"error: {mismatch}", file=sys.stderr)
        return 1
    return 0


def print_trace_cost() -> float:
    """Print, and return in seconds, what tracing costs per operation."""
    cost = trace_cost()
    print(f"\ntracing a loop of {TRACE_OPS:,} scalar operations: {1e6 * cost:.2f} us per operation")
    return cost


if __name__ == "__main__":
    sys.exit(main())
