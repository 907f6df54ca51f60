"""Checks the backend "jax" on a GPU, and times it there: `python -m benchmarks --gpu`.

It takes less than five minutes with everything. Without a GPU it says so. `--gpu cpu` runs it on the
processor, to try the script itself.
"""

from __future__ import annotations

import statistics
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final

import numpy as np

import tapegrad as tg
from benchmarks.measure import Mismatch
from benchmarks.models import MODELS
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.jax.backend import compiled
from tapegrad.backends.jax.printer import NoForm
from tapegrad.backends.replay import evaluate
from tapegrad.function.trace import trace_quietly
from tapegrad.ops import OPS
from tapegrad.ops.registry import Op
from tapegrad.tape.tape import Tape

CHECKED: Final = ("exponential", "normal", "student_t", "mixture", "logistic")
TOLERANCE: Final = 1e-12
VECTORS: Final = ("eigenvectors", "left_vectors", "right_vectors", "orthonormal")  # of either sign
REPEATS: Final = 7
COLUMNS: Final = 100
OF_JAX: Final = 1.1  # at most, of what JAX takes by hand
OF_C: Final = 20.0  # at least, C over the GPU


def print_gpu(device: str, rows: int) -> int:
    """Print the check and the times on a device of JAX's; 0, also where there is none."""
    if find_spec("jax") is None:
        print('JAX is not installed: python -m pip install -e ".[jax]"')
        return 0
    jax: Any = import_module("jax")
    try:
        found = jax.devices(device)[0]
    except RuntimeError:
        print(f"JAX finds no {device} here: nothing to run")
        return 0
    print(f"{found.device_kind}, JAX {jax.__version__}")
    with jax.default_device(found):
        right, without = checked_ops()
        print(f"ops: {right} agree with the reference to {TOLERANCE:g}; {without} have no form for JAX")
        for name in CHECKED:
            check_model(name)
        print(f"models: {', '.join(CHECKED)} agree in value, gradient and Hessian")
        _print_times(jax, rows)
    return 0


def checked_ops() -> tuple[int, int]:
    """How many ops give on the device what the reference gives, and how many JAX cannot run."""
    right = without = 0
    for op in OPS.values():
        found = _traced(op)
        if found is None:
            continue
        tape, point = found
        expected = evaluate(tape, point, {})[tape.outputs[0]]
        try:
            workspace = compiled(tape, (), 1).workspace({})
        except NoForm:
            without += 1
            continue
        workspace.run(point)
        atol = TOLERANCE * np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
        if not np.allclose(workspace.outputs[0], expected, rtol=TOLERANCE, atol=atol, equal_nan=True):
            raise Mismatch(f"{op.name} differs on this device: {workspace.outputs[0]}, not {expected}")
        right += 1
    return right, without


def _traced(op: Op) -> tuple[Tape, Any] | None:
    """An op at numbers of its domain or at its first sample, as a tape and its point."""
    if op.is_elementwise and op.domain:
        arguments: list[Any] = [np.linspace(low, high, 52)[1:-1] for low, high in op.domain]
        attrs: dict[str, Any] = {}
    elif op.samples and not op.name.startswith(VECTORS):
        arguments, attrs = list(op.samples[0][0]), dict(op.samples[0][1])
    else:
        return None
    partials = getattr(op.rule, "partials", ())
    free = [
        i
        for i, x in enumerate(arguments)
        if (type(x) is float or getattr(x, "dtype", None) == np.float64)
        and not (i < len(partials) and partials[i] is None)
    ]

    def applied(moving: list[Any]) -> Any:
        given = list(arguments)
        for i, value in zip(free, moving, strict=True):
            given[i] = value
        return op(*given, **attrs)

    try:
        points = [arguments[i] for i in free]
        traced = trace_quietly(applied, points, backend="replay")
    except Exception:  # of indices and truths: no parameters
        return None
    return traced.tape, traced.ravel(points)


def check_model(name: str) -> None:
    """Compare a model's value and derivatives with the reference."""
    model = MODELS[name]
    data = model.data(1_000)

    def loglik(**theta: Any) -> Any:
        special = import_module("scipy.special")
        return model.loglik(np, special, **data, **theta)

    here, reference = (tg.trace(loglik, model.start, backend=backend) for backend in ("jax", "replay"))
    vector = reference.ravel(model.start)
    found: list[Any] = [*here.value_and_grad_flat(vector), here.hessian_flat(vector)]
    expected: list[Any] = [*reference.value_and_grad_flat(vector), reference.hessian_flat(vector)]
    for one, other in zip(found, expected, strict=True):
        if not np.allclose(one, other, rtol=1e-10, atol=1e-10 * np.max(np.abs(other))):
            raise Mismatch(f"{name} differs on this device: {one}, not {other}")


def _print_times(jax: Any, rows: int) -> None:
    """A logistic regression beside JAX by hand, and beside C on the processor."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS))
    y = (rng.random(rows) < 0.5).astype(float)
    b = np.full(COLUMNS, 0.01)

    def loglik(b: Any) -> Any:
        eta = X @ b
        return (y * eta - np.log1p(np.exp(eta))).sum()

    X.flags.writeable = y.flags.writeable = False  # or they are copied
    ours = tg.trace(loglik, dict(b=b), backend="jax", sufficient_statistics=False)
    calls = {"tapegrad on JAX": ours.value_and_grad_flat, "JAX": _by_hand(jax, X, y)}
    if compiler() is not None:
        in_c = tg.trace(loglik, dict(b=b), backend="c", sufficient_statistics=False)
        calls["tapegrad in C"] = in_c.value_and_grad_flat
    times = _medians(calls, b)
    print(
        f"logistic regression, {rows:,} rows, {COLUMNS} columns: value and gradient, medians in milliseconds"
    )
    for name, seconds in times.items():
        print(f"  {name:<16} {seconds * 1e3:10.2f}")
    print(f"  over JAX by hand {times['tapegrad on JAX'] / times['JAX']:10.2f}   (at most {OF_JAX})")
    if "tapegrad in C" in times:
        ratio = times["tapegrad in C"] / times["tapegrad on JAX"]
        print(f"  C over it        {ratio:10.1f}   (at least {OF_C:.0f})")


def _by_hand(jax: Any, X: Any, y: Any) -> Any:
    jnp: Any = import_module("jax.numpy")
    with jax.enable_x64(True):
        arrays = jax.device_put(X), jax.device_put(y)

    def loglik(b: Any, X: Any, y: Any) -> Any:
        eta = X @ b
        return (y * eta - jnp.log1p(jnp.exp(eta))).sum()

    both = jax.jit(jax.value_and_grad(loglik))

    def call(b: Any) -> Any:
        with jax.enable_x64(True):
            return jax.device_get(both(b, *arrays))

    return call


def _medians(calls: dict[str, Any], b: Any) -> dict[str, float]:
    """Each in turn, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(REPEATS + 2):
        for name, call in calls.items():
            began = perf_counter()
            call(b + 1e-4 * i)
            times[name].append(perf_counter() - began)
    return {name: statistics.median(found[2:]) for name, found in times.items()}
