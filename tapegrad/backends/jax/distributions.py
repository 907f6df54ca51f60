"""What printed source calls of distribution functions: t, F, binomial; by the incomplete beta function."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax.scipy import special as jsp

from tapegrad.backends.jax.gammas import log_poch
from tapegrad.backends.jax.tails import incomplete_beta

# Student's t, and F -----------------------------------------------------------------------------------------


def t_density(df: Any, t: Any) -> Any:
    """The density of Student's t."""
    fall = (0.5 * df + 0.5) * jnp.log1p(t * t / df)
    return jnp.exp(log_poch(0.5 * df, 0.5) - 0.5 * jnp.log(math.pi * df) - fall)


def stdtr(df: Any, t: Any) -> Any:
    """The distribution function of Student's t."""
    df, t = jnp.broadcast_arrays(jnp.asarray(df, dtype=float), jnp.asarray(t, dtype=float))
    odds = t * t / df
    tail = 0.5 * incomplete_beta(0.5 * df, 0.5, 1.0 / (1.0 + odds), odds / (1.0 + odds), upper=False)
    found = jnp.where(t > 0.0, 1.0 - tail, tail)
    found = jnp.where(jnp.isinf(df), 0.5 * jsp.erfc(-t * math.sqrt(0.5)), found)
    found = jnp.where(jnp.isinf(t), (t > 0.0) * 1.0, found)
    return jnp.where((df > 0.0) & ~jnp.isnan(t), found, jnp.nan)


def _f(a: Any, b: Any, x: Any, upper: bool) -> Any:
    odds = a * x / b
    found = incomplete_beta(0.5 * a, 0.5 * b, odds / (1.0 + odds), 1.0 / (1.0 + odds), upper)
    edge = jnp.where(x == 0.0, float(upper), float(not upper))
    found = jnp.where((x == 0.0) | jnp.isposinf(x), edge, found)
    return jnp.where((a > 0.0) & (b > 0.0) & (x >= 0.0), found, jnp.nan)


def fdtr(a: Any, b: Any, x: Any) -> Any:
    """The distribution function of F."""
    return _f(a, b, x, upper=False)


def fdtrc(a: Any, b: Any, x: Any) -> Any:
    """Its survival function."""
    return _f(a, b, x, upper=True)


# Counts -----------------------------------------------------------------------------------------------------


def _binomial(k: Any, n: Any, p: Any, upper: bool) -> Any:
    k, n = jnp.floor(k), jnp.trunc(n)
    inner = (k >= 0.0) & (k < n)
    at, of = jnp.where(inner, k, 0.0), jnp.where(inner, n, 1.0)
    found = incomplete_beta(at + 1.0, of - at, p, 1.0 - p, upper)
    found = jnp.where(k == n, float(upper), found)
    found = jnp.where(k < 0.0, jnp.nan if upper else 1.0, found)
    return jnp.where((k <= n) & (p >= 0.0) & (p <= 1.0), found, jnp.nan)


def bdtr(k: Any, n: Any, p: Any) -> Any:
    """The binomial distribution function."""
    return _binomial(k, n, p, upper=True)


def bdtrc(k: Any, n: Any, p: Any) -> Any:
    """Its survival function."""
    return _binomial(k, n, p, upper=False)


def _negative_binomial(k: Any, n: Any, p: Any, upper: bool) -> Any:
    k, n = jnp.floor(k), jnp.trunc(n)
    found = incomplete_beta(n, k + 1.0, p, 1.0 - p, upper)
    return jnp.where((k >= 0.0) & (p >= 0.0) & (p <= 1.0), found, jnp.nan)


def nbdtr(k: Any, n: Any, p: Any) -> Any:
    """The negative binomial distribution function."""
    return _negative_binomial(k, n, p, upper=False)


def nbdtrc(k: Any, n: Any, p: Any) -> Any:
    """Its survival function."""
    return _negative_binomial(k, n, p, upper=True)
