"""The GARCH model as somebody rewrites it for JAX: ``lax.scan`` in the place of the loop."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.loops.model import LOOPS, Theta


def garch_by_jax(n: int) -> Callable[[Theta], tuple[float, Theta]]:
    """Value and gradient, jitted, on the data of the loop model."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    jax.config.update("jax_enable_x64", True)
    y = jnp.asarray(np.random.default_rng(20_190).normal(size=n))

    def loglik(theta: Theta) -> Any:
        omega, e = jnp.exp(theta["log_omega"]), y - theta["mu"]
        before = jnp.concatenate([jnp.zeros(1), e[:-1]])

        def step(h: Any, last: Any) -> Any:
            h = omega + theta["alpha"] * last**2 + theta["beta"] * h
            return h, h

        _, h = jax.lax.scan(step, 1.0, before)
        return -0.5 * jnp.sum(jnp.log(h) + e**2 / h)

    run = jax.jit(jax.value_and_grad(loglik))
    return lambda theta: jax.block_until_ready(run(theta))


def checked_start() -> Theta:
    """The start values of the loop model."""
    return LOOPS["garch"].data(10).start
