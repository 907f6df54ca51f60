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
    "logical_not", "rad2deg", "reciprocal", "rint", "signbit", "sin", "sinh", "sqrt", "square",
    "tan", "tanh", "trunc",
)
_TWO: Final = (
    "arctan2", "equal", "floor_divide", "fmax", "fmin", "fmod", "greater", "greater_equal", "heaviside",
    "hypot", "less", "less_equal", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor",
    "matmul", "maximum", "minimum", "not_equal", "power", "remainder",
)
_SPECIAL: Final = (
    "entr", "erf", "erfc", "erfcx", "erfinv", "exp1", "expit", "gamma", "gammaln",
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
    "sign": "jnp.where({0} == 0.0, 0.0, jnp.sign({0}))",
    "spacing": "jnp.spacing({0})",
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
    "to_int": "tg.to_int({0})",
    "to_bool": "{0} != 0",
    # Gates
    "gated_mul": "jnp.where({0} == 0.0, 0.0, {0} * {1})",
    "gated_div": "jnp.where({0} == 0.0, 0.0, {0} / {1})",
    "gated_matmul": "tg.gated_matmul({0}, {1})",
    # Exponentials
    "erfcinv": "-0.7071067811865476 * jsp.ndtri(0.5 * {0})",
    "exp_gap": "tg.exp_gap({0}, {1})",
    "share": "tg.share({0}, {1})",
    "both_shares": "tg.both_shares({0}, {1})",
    "share_gap": "tg.share_gap({0}, {1})",
    "share2": "tg.of_powers_of_2(tg.share, {0}, {1})",
    "both_shares2": "tg.of_powers_of_2(tg.both_shares, {0}, {1})",
    "share_gap2": "tg.of_powers_of_2(tg.share_gap, {0}, {1})",
    "expi": "jnp.where(jnp.isposinf({0}), jnp.inf, jsp.expi({0}))",
    "expn": "tg.expn({0}, {1})",
    "exprel": "normals.exprel({0})",
    "exprel_slope": "normals.exprel_slope({0}, {1})",
    "log1p_over": "normals.log1p_over({0}, {1})",
    "cosm1": "-2.0 * jnp.square(jnp.sin(0.5 * {0}))",
    "sinc": "normals.sinc({0}, {1})",
    "powm1": "jnp.where({0} > 0.0, jnp.expm1({1} * jnp.log({0})), jnp.power({0}, {1}) - 1.0)",
    "log_expit": "-jnp.logaddexp(0.0, -{0})",
    "softplus": "jnp.logaddexp(0.0, {0})",
    "log1mexp": "tg.log1mexp({0})",
    "xlogy": "tg.xlogy({0}, {1})",
    "xlog1py": "tg.xlog1py({0}, {1})",
    # Counts
    "digamma": "gammas.digamma({0})",
    "polygamma": "gammas.polygamma({0}, {1})",
    "zeta": "jsp.zeta({0}, {1})",
    "rel_entr": "jsp.rel_entr({0}, {1})",
    "beta": "gammas.beta({0}, {1})",
    "betaln": "gammas.betaln({0}, {1})",
    "log_poch": "gammas.log_poch({0}, {1})",
    "log_ratio": "gammas.log_ratio({0}, {1})",
    "one_less_ratio": "gammas.one_less_ratio({0}, {1})",
    "polygamma_step": "gammas.polygamma_step({0}, {1}, {2})",
    "polygamma_gain": "gammas.polygamma_gain({0}, {1}, {2})",
    "gamma_rest": "gammas.gamma_rest({0}, {1})",
    "gamma_rest_gain": "gammas.gamma_rest_gain({0}, {1}, {2})",
    "loggamma": "jnp.where({0} < 0.0, nan, jsp.gammaln({0}))",
    "rgamma": "gammas.rgamma({0})",
    "poch": "gammas.poch({0}, {1})",
    "binom": "gammas.binom({0}, {1})",
    "zeta_slope": "gammas.zeta_slope({0}, {1}, {2})",
    "bd0": "gammas.bd0({0}, {1})",
    "kl_div": "gammas.kl_div({0}, {1})",
    "nb_deviance": "gammas.nb_deviance({0}, {1}, {2})",
    "nb_log_ratio": "gammas.nb_log_ratio({0}, {1}, {2})",
    "nb_slope": "gammas.nb_slope({0}, {1}, {2})",
    # Distributions
    "gammainc": "tails.gammainc({0}, {1})",
    "gammaincc": "tails.gammaincc({0}, {1})",
    "gammainc_slope": "tails.gammainc_slope({0}, {1}, {2})",
    "gamma_density": "tails.gamma_density({0}, {1}, {2}, {3})",
    "betainc": "tails.betainc({0}, {1}, {2})",
    "betaincc": "tails.betaincc({0}, {1}, {2})",
    "betainc_slope": "tails.betainc_slope({0}, {1}, {2}, {3}, {4}, {5})",
    "beta_density": "tails.beta_density({0}, {1}, {2}, {3}, {4}, {5}, {6})",
    "t_density": "distributions.t_density({0}, {1})",
    "stdtr": "distributions.stdtr({0}, {1})",
    "fdtr": "distributions.fdtr({0}, {1}, {2})",
    "fdtrc": "distributions.fdtrc({0}, {1}, {2})",
    "bdtr": "distributions.bdtr({0}, {1}, {2})",
    "bdtrc": "distributions.bdtrc({0}, {1}, {2})",
    "nbdtr": "distributions.nbdtr({0}, {1}, {2})",
    "nbdtrc": "distributions.nbdtrc({0}, {1}, {2})",
    "log_i0e": "normals.log_i0e({0})",
    "log_i0e_slope": "normals.log_i0e_slope({0}, {1})",
    # Transforms and losses
    "boxcox": "normals.box(jnp.log({0}), {1})",
    "boxcox1p": "normals.box(jnp.log1p({0}), {1})",
    "box_slope": "normals.box_slope({0}, {1}, {2})",
    "inv_boxcox": "jnp.exp(normals.inverse_box({0}, {1}))",
    "inv_boxcox1p": "jnp.expm1(normals.inverse_box({0}, {1}))",
    "huber": "tg.huber({0}, {1})",
    "pseudo_huber": "tg.pseudo_huber({0}, {1})",
    # The normal distribution
    "gaussian": "jnp.exp(-({0} * {0}))",
    "normal_density": "jnp.exp(-0.5 * ({0} * {0})) / 2.5066282746310002",
    "ndtr": "normals.ndtr({0})",
    "log_ndtr": "normals.log_ndtr({0})",
    "log_ndtr_slope": "normals.log_ndtr_slope({0}, {1})",
    "erfcx_integral": "normals.erfcx_integral({0}, {1})",
    "erfcx_gap": "normals.erfcx_gap({0}, {1}, {2})",
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
    "cholesky": "tg.cholesky({0})",
    "inv": "tg.inv({0})",
    "det": "jnp.linalg.det({0})",
    "logabsdet": "jnp.linalg.slogdet({0})[1]",
    "signdet": "jnp.linalg.slogdet({0})[0]",
    "solve": "tg.solve({0}, {1})",
    "solve_triangular": "tg.solve_triangular({0}, {1}, lower={lower}, flipped={flipped})",
    "eigenvalues": "jnp.linalg.eigvalsh({0}, {uplo}, symmetrize_input=False)",
    "eigenvectors": "jnp.linalg.eigh({0}, {uplo}, symmetrize_input=False)[1]",
    "singular_values": "jnp.linalg.svd({0}, compute_uv=False)",
    "left_vectors": "jnp.linalg.svd({0}, full_matrices=False)[0]",
    "right_vectors": "jnp.linalg.svd({0}, full_matrices=False)[2]",
    "orthonormal": "jnp.linalg.qr({0})[0]",
    "pinv": "jnp.linalg.pinv({0}, rtol={1})",
    "expm": "jax.scipy.linalg.expm({0})",
    "sparse_product": "tg.sparse_product({0}, {1}, {2}, {3}, columns={columns}, transposed={transposed})",
    "sparse_outer": "tg.sparse_outer({0}, {1}, {2}, {3})",
    # Loops; `scan` is printed as a function
    "recurrence": "tg.recurrence({0}, {1}, {2}, reverse={reverse})",
}
# Operands in any number, joined.
JOINED: Final[dict[str, tuple[str, str, str]]] = {
    "add_n": ("", " + ", ""),
    "concatenate": ("jnp.concatenate([", ", ", "], axis={axis})"),
    "times_power": ("tg.times_power(", ", ", ")"),
    "gated_times_power": ("tg.gated_times_power(", ", ", ")"),
}
# How many of the first operands say which derivative of a family is meant: they are written as numbers.
ORDERS: Final[dict[str, int]] = {
    **dict.fromkeys(("exprel_slope", "log1p_over", "sinc", "expn", "zeta_slope", "box_slope"), 1),
    **dict.fromkeys(("polygamma_step", "polygamma_gain", "gamma_rest", "gamma_rest_gain"), 1),
    **dict.fromkeys(("gammainc_slope", "log_i0e_slope", "log_ndtr_slope"), 1),
    **dict.fromkeys(("erfcx_integral", "erfcx_gap"), 1),
    **dict.fromkeys(("gamma_density", "betainc_slope"), 2),
    "beta_density": 3,
}
