"""Models as somebody rewrites them for JAX: ``lax.scan`` in the place of the loop."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from benchmarks.loops.model import LOOPS, Theta


def by_jax(name: str, n: int) -> Callable[[Theta], tuple[float, Theta]]:
    """Value and gradient, jitted, on the data of a loop model."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    jax.config.update("jax_enable_x64", True)
    y = jnp.asarray(LOOPS[name].data(n).y)
    run = jax.jit(jax.value_and_grad(lambda theta: SCANS[name](jax, jnp, y, **theta)))
    return lambda theta: jax.block_until_ready(run(theta))


def _garch(jax: Any, jnp: Any, y: Any, mu: Any, log_omega: Any, alpha: Any, beta: Any) -> Any:
    omega, e = jnp.exp(log_omega), y - mu
    before = jnp.concatenate([jnp.zeros(1), e[:-1]])

    def step(h: Any, last: Any) -> Any:
        h = omega + alpha * last**2 + beta * h
        return h, h

    _, h = jax.lax.scan(step, 1.0, before)
    return -0.5 * jnp.sum(jnp.log(h) + e**2 / h)


def _hmm_log(jax: Any, jnp: Any, y: Any, m: Any, stay: Any) -> Any:
    p = 1.0 / (1.0 + jnp.exp(-stay))
    log_move = jnp.log(jnp.where(jnp.eye(3) > 0.0, p, 0.5 * (1.0 - p)))
    logsumexp = jax.scipy.special.logsumexp

    def step(forward: Any, each: Any) -> Any:
        return logsumexp(forward[:, None] + log_move, axis=0) - 0.5 * (each - m) ** 2, None

    first = -0.5 * (y[0] - m) ** 2 - jnp.log(3.0)
    last, _ = jax.lax.scan(step, first, y[1:])
    return logsumexp(last)


def _local_level(jax: Any, jnp: Any, y: Any, log_q: Any, log_r: Any) -> Any:
    q, r = jnp.exp(log_q), jnp.exp(log_r)

    def step(state: Any, each: Any) -> Any:
        mean, var = state
        var = var + q
        s = var + r
        v, gain = each - mean, var / s
        return (mean + gain * v, (1.0 - gain) * var), (v, s)

    _, (v, s) = jax.lax.scan(step, (0.0, 10.0), y)
    return -0.5 * jnp.sum(jnp.log(s) + v**2 / s)


SCANS: Final[dict[str, Callable[..., Any]]] = {
    "garch": _garch,
    "hmm_log": _hmm_log,
    "local_level": _local_level,
}
