"""A traced function as a function of JAX, for what is written in JAX: samplers, other models around it.

Value, gradient and Hessian are those of the tapes. JAX is told them as derivatives of the function, and so
differentiates it twice without looking into it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tapegrad.backends.jax.backend import JaxProgram, why_not
from tapegrad.function.derived import GRADIENT, HESSIAN, Derived
from tapegrad.function.flat import FlatFunction
from tapegrad.recording.frames import location


def jax_function(traced: Any) -> Callable[[Any], Any]:
    """The function of a flat vector, for `jax.jit`, `jax.vmap` and `jax.grad`; NaN where an index is missing.

    Raises
    ------
    ValueError
        If the function branches on its parameters, integrates random effects out, or has data in pieces.
    ImportError
        If JAX is not installed, or too old.
    """
    if (without := why_not()) is not None:
        raise ImportError(without)
    if not isinstance(traced, FlatFunction):
        raise ValueError("a function for JAX cannot integrate random effects out: give the joint density")
    jax: Any = import_module("jax")
    traced.require_scalar("a function for JAX")
    value_and_gradient = _compiled(traced, GRADIENT)
    hessian = _compiled(traced, HESSIAN)

    def gradient(x: Any) -> Any:
        return jax.numpy.concatenate([jax.numpy.ravel(part) for part in value_and_gradient(x)[1:]])

    gradient_of = _with_slope(gradient, lambda x, t: hessian(x)[0] @ t)
    return _with_slope(lambda x: value_and_gradient(x)[0], lambda x, t: jax.numpy.vdot(gradient_of(x), t))


def _with_slope(f: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """`f` with what JAX is to take as its derivative, ``slope(x, t)`` along `t`."""
    found: Any = import_module("jax").custom_jvp(f)
    found.defjvp(lambda points, tangents: (found(*points), slope(*points, *tangents)))
    known: Callable[[Any], Any] = found
    return known


def log_density(parts: Sequence[Any]) -> Callable[[Any], Any]:
    """The sum of some, each by `jax_function`; ``-inf``, and level, where it or its slope is not finite."""
    functions = [jax_function(part) for part in parts]
    jax: Any = import_module("jax")
    jnp = jax.numpy

    def total(x: Any) -> Any:
        return sum(function(x) for function in functions)

    def guarded(x: Any) -> tuple[Any, Any]:
        found, gradient = jax.value_and_grad(total)(x)
        ordinary = jnp.isfinite(found) & jnp.all(jnp.isfinite(gradient))
        return jnp.where(ordinary, found, -jnp.inf), jnp.where(ordinary, gradient, 0.0)

    return _with_slope(lambda x: guarded(x)[0], lambda x, t: jnp.vdot(guarded(x)[1], t))


def _compiled(traced: FlatFunction, kind: Derived) -> Callable[[Any], Any]:
    """One of its tapes as a function that gives the outputs."""
    jnp: Any = import_module("jax.numpy")
    path = traced._router.current
    if traced._router.running.long is not None:
        raise ValueError("a function for JAX needs data in memory: these are in pieces")
    tape = path.tapes[kind]
    guard = next((guard for guard in tape.guards if not guard.is_choice), None)
    if guard is not None:
        raise ValueError(
            f"a function for JAX cannot branch on its parameters, as it does{location(guard.source)}: "
            "JAX runs one path for all. np.where, np.maximum and np.clip choose within the function"
        )
    program = JaxProgram(tape, ())
    with import_module("jax").enable_x64(True):
        arrays = program.arrays(dict(zip(tape.data, path.data.values(), strict=True)))

    def outputs(x: Any) -> Any:
        x = jnp.asarray(x)
        if x.dtype != np.float64:
            raise TypeError(
                f"a function for JAX is one of float64, not of {x.dtype}: write "
                "jax.config.update('jax_enable_x64', True) before the first array is made"
            )
        _, found, outside = program.functions[0](x, arrays)
        return found if outside is None else [jnp.where(outside, jnp.nan, one) for one in found]

    return outputs
