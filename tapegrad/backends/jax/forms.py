"""The table of ops as they are written for JAX: a line or a word each.

``{0}`` is an operand, ``{axis}`` an attribute. `jnp` and `jsp` are `jax.numpy` and `jax.scipy.special`, `tg`
has the functions of `tapegrad.backends.jax.runtime`. An op without a line cannot be run by JAX:
it has no such function, or one that loses digits.
"""

from __future__ import annotations

from typing import Final

# fmt: off
_ONE: Final = (
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "ceil", "cos", "cosh", "deg2rad",
    "exp", "exp2", "expm1", "floor", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2",
    "logical_not", "rad2deg", "reciprocal", "rint", "sign", "signbit", "sin", "sinh", "sqrt", "square",
    "tan", "tanh", "trunc",
)
_TWO: Final = (
    "arctan2", "equal", "floor_divide", "fmax", "fmin", "fmod", "greater", "greater_equal", "heaviside",
    "hypot", "less", "less_equal", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor",
    "matmul", "maximum", "minimum", "not_equal", "power", "remainder",
)
_SPECIAL: Final = (
    "entr", "erf", "erfc", "erfcinv", "erfcx", "erfinv", "exp1", "expi", "expit", "gamma", "gammaln",
    "gammasgn", "i0", "i0e", "i1", "i1e", "logit", "ndtri", "spence",
)
# fmt: on

FORMS: Final[dict[str, str]] = {
    **{name: f"jnp.{name}({{0}})" for name in _ONE},
    **{name: f"jnp.{name}({{0}}, {{1}})" for name in _TWO},
    **{name: f"jsp.{name}({{0}})" for name in _SPECIAL},
    "where": "jnp.where({0}, {1}, {2})",
    # Arithmetic
    "abs": "jnp.abs({0})",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "root": "jnp.sqrt({0})",
    "relu": "jnp.maximum({0}, 0.0)",
    "exp10": "jnp.power(10.0, {0})",
    "circle": "(1.0 - {0}) * (1.0 + {0})",
    "cos_arctan": "1.0 / jnp.hypot(1.0, {0})",
    "sin_arctan": "tg.sin_arctan({0})",
    "sech": "tg.sech({0})",
    "log_cosh": "tg.log_cosh({0})",
    "cosine": "tg.cosine({0}, {1})",
    "one_above": "jnp.maximum({2}, {0} > {1})",
    "to_float": "jnp.asarray({0}, dtype=jnp.float64)",
    "to_int": "jnp.asarray({0}, dtype=jnp.int64)",
    "to_bool": "{0} != 0",
    # Gates
    "gated_mul": "jnp.where({0} == 0.0, 0.0, {0} * {1})",
    "gated_div": "jnp.where({0} == 0.0, 0.0, {0} / {1})",
    "gated_matmul": "tg.gated_matmul({0}, {1})",
    # Exponentials
    "exp_gap": "tg.exp_gap({0}, {1})",
    "share": "tg.share({0}, {1})",
    "both_shares": "tg.both_shares({0}, {1})",
    "share_gap": "tg.share_gap({0}, {1})",
    "log_expit": "-jnp.logaddexp(0.0, -{0})",
    "softplus": "jnp.logaddexp(0.0, {0})",
    "log1mexp": "tg.log1mexp({0})",
    "xlogy": "tg.xlogy({0}, {1})",
    "xlog1py": "tg.xlog1py({0}, {1})",
    # Counts
    "digamma": "jsp.digamma({0})",
    "polygamma": "tg.polygamma({0}, {1})",
    "zeta": "jsp.zeta({0}, {1})",
    "betainc": "jsp.betainc({0}, {1}, {2})",
    "rel_entr": "jsp.rel_entr({0}, {1})",
    "betaln": "jsp.gammaln({0}) + jsp.gammaln({1}) - jsp.gammaln({0} + {1})",
    "log_poch": "jsp.gammaln({0} + {1}) - jsp.gammaln({0})",
    "log_ratio": "tg.log_ratio({0}, {1})",
    "one_less_ratio": "tg.one_less_ratio({0}, {1})",
    # The normal distribution
    "gaussian": "jnp.exp(-({0} * {0}))",
    "normal_density": "jnp.exp(-0.5 * ({0} * {0})) / 2.5066282746310002",
    "ndtr": "tg.ndtr({0})",
    "log_ndtr": "tg.log_ndtr({0})",
    # Along axes
    "sum": "jnp.sum({0}, axis={axis}, keepdims={keepdims})",
    "prod": "jnp.prod({0}, axis={axis})",
    "max": "jnp.max({0}, axis={axis}, keepdims={keepdims})",
    "min": "jnp.min({0}, axis={axis}, keepdims={keepdims})",
    "any": "jnp.any({0}, axis={axis}, keepdims={keepdims})",
    "all": "jnp.all({0}, axis={axis}, keepdims={keepdims})",
    "argmax": "jnp.argmax({0}, axis={axis})",
    "argmin": "jnp.argmin({0}, axis={axis})",
    "argsort": "jnp.argsort({0}, axis={axis}, stable=True)",
    "cumsum": "jnp.cumsum({0}, axis={axis})",
    "cumprod": "jnp.cumprod({0}, axis={axis})",
    "logsumexp": "tg.logsumexp({0}, axis={axis}, keepdims={keepdims})",
    "searchsorted": "jnp.searchsorted({0}, {1}, side={side})",
    # Shapes
    "reshape": "jnp.reshape({0}, {shape})",
    "broadcast_to": "jnp.broadcast_to({0}, {shape})",
    "transpose": "jnp.transpose({0}, {axes})",
    # Matrices
    "dot": "jnp.dot({0}, {1})",
    "cholesky": "jnp.linalg.cholesky({0}, symmetrize_input=False)",
    "inv": "jnp.linalg.inv({0})",
    "det": "jnp.linalg.det({0})",
    "logabsdet": "jnp.linalg.slogdet({0})[1]",
    "signdet": "jnp.linalg.slogdet({0})[0]",
    "solve": "jnp.linalg.solve({0}, {1})",
    # Loops; `scan` is printed as a function
    "recurrence": "tg.recurrence({0}, {1}, {2}, reverse={reverse})",
}
# Operands in any number, joined.
JOINED: Final[dict[str, tuple[str, str, str]]] = {
    "add_n": ("", " + ", ""),
    "concatenate": ("jnp.concatenate([", ", ", "], axis={axis})"),
}
