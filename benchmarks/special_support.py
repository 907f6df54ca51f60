"""Which functions of scipy.special can be traced, as a table: ``python -m benchmarks.special_support``.

The table stands in docs/special-support.md. It is made of the declarations of the ops, the comparison with
mpmath, and the reasons that stand here for all other ufuncs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import special

from benchmarks.accuracy_more import ALL_SPECIAL
from benchmarks.accuracy_ops import BINARY, UNARY, rows_of
from benchmarks.accuracy_special import rows_of_special
from tapegrad.ops import NUMPY, Op

PAGE = Path(__file__).parent.parent / "docs" / "special-support.md"

COMPLEX = "its values are complex numbers"
SEVERAL = "no likelihood that we know of uses it, and it has several results"
PHYSICS = "no likelihood that we know of uses it"
SHAPE_SOUGHT = "solves for a shape; write the equation with the distribution function, and solve it outside"
NONCENTRAL = (
    "a mixture over Poisson weights without a derivative rule yet; sum that of betainc, or take chndtr"
)
POLYNOMIAL = "write it with eval_jacobi"
STEP = "the number of a quantile among counts: it has no derivative"
TESTS = "a distribution of test statistics, which no likelihood contains"

REASONS: Final[dict[str, tuple[str, ...]]] = {
    COMPLEX: ("hankel1", "hankel1e", "hankel2", "hankel2e", "wofz"),
    SEVERAL: (
        *("airye", "it2i0k0", "it2j0y0", "itairy", "iti0k0", "itj0y0", "kelvin"),
        *("mathieu_cem", "mathieu_modcem1", "mathieu_modcem2", "mathieu_modsem1", "mathieu_modsem2"),
        *("mathieu_sem", "modfresnelm", "modfresnelp", "obl_ang1", "obl_ang1_cv", "obl_rad1", "obl_rad1_cv"),
        *("obl_rad2", "obl_rad2_cv", "pbdv", "pbvv", "pbwa", "pro_ang1", "pro_ang1_cv", "pro_rad1"),
        *("pro_rad1_cv", "pro_rad2", "pro_rad2_cv"),
    ),
    PHYSICS: (
        *("besselpoly", "it2struve0", "itmodstruve0", "itstruve0", "log_wright_bessel", "lpmv", "mathieu_a"),
        *("mathieu_b", "obl_cv", "pro_cv", "wright_bessel"),
    ),
    SHAPE_SOUGHT: (
        *("bdtri", "btdtria", "btdtrib", "chdtriv", "fdtridfd", "gdtria", "gdtrib", "gdtrix", "nbdtri"),
        *("pdtri", "stdtridf"),
    ),
    STEP: ("bdtrik", "bdtrin", "nbdtrik", "nbdtrin", "pdtrik"),
    NONCENTRAL: (
        *("chndtridf", "chndtrinc", "chndtrix", "ncfdtr", "ncfdtri", "ncfdtridfd", "ncfdtridfn"),
        *("ncfdtrinc", "nctdtr", "nctdtridf", "nctdtrinc", "nctdtrit"),
    ),
    POLYNOMIAL: ("eval_sh_jacobi",),
    TESTS: ("smirnov", "smirnovi"),
}


def ufuncs() -> dict[str, np.ufunc]:
    """Those of the installed scipy.special, by name."""
    found = {name: getattr(special, name) for name in dir(special)}
    return {name: f for name, f in found.items() if isinstance(f, np.ufunc)}


# Where versions of SciPy have other names, or none.
ARGUMENTS: Final[dict[str, str]] = {
    "beta": "a, b",
    "betainccinv": "a, b, y",
    "binom": "n, k",
    "erfcinv": "y",
    "hyp0f1": "v, z",
    "hyp2f1": "a, b, c, z",
    "hyperu": "a, b, x",
    "ndtri": "p",
    "ndtri_exp": "y",
    "nrdtrimn": "p, std, x",
    "nrdtrisd": "mn, p, x",
    "owens_t": "h, a",
    "powm1": "x, y",
    "tklmbda": "x, lmbda",
    "voigt_profile": "x, sigma, gamma",
    "wrightomega": "z",
    **dict.fromkeys(("iv", "ive", "jn", "jv", "jve", "kv", "kve", "yv", "yve"), "v, z"),
    **dict.fromkeys(("kn", "yn"), "n, x"),
}


def arguments(name: str) -> list[str]:
    """Their names, as the documentation of SciPy has them."""
    if name in ARGUMENTS:
        return ARGUMENTS[name].split(", ")
    ufunc = ufuncs()[name]
    text = (ufunc.__doc__ or "").splitlines()
    line = next(line for line in text if line.startswith(f"{ufunc.__name__}(") and "out" in line)
    return line.split("(")[1].split(", out")[0].split(")")[0].split(", ")


def moved(name: str) -> str:
    """The arguments that have a derivative."""
    rule: Any = NUMPY[ufuncs()[name]]
    names = arguments(name)
    if not isinstance(rule, Op):
        return ", ".join(x for x in names if x not in ("k", "n"))
    if rule.rule is None:
        return "none: it is constant piece by piece"
    partials = rule.rule.partials  # type: ignore[union-attr]
    known = [x for x, partial in zip(names, partials, strict=False) if _is_known(partial)]
    refused = [x for x, p in zip(names, partials, strict=False) if getattr(p, "__name__", "") == "refuse"]
    return ", ".join(known) + (f" (in {', '.join(refused)}: an error)" if refused else "")


def _is_known(partial: Any) -> bool:
    return partial is not None and getattr(partial, "__name__", "") != "refuse"


def lines(errors: dict[str, str]) -> Iterator[str]:
    """The rows of the table of what is supported."""
    for name in sorted(ufuncs()):
        if ufuncs()[name] in NUMPY:
            yield f"| `{name}` | {moved(name)} | {errors.get(name, '')} |"


def worst(name: str) -> str:
    """The worst relative errors of an op against mpmath, by order."""
    rule = NUMPY[ufuncs()[name]]
    if not isinstance(rule, Op):
        return "those of what it is written in"
    if rule.name in ALL_SPECIAL:
        rows = list(rows_of_special(rule.name, ALL_SPECIAL[rule.name]))
    elif rule.name in {**UNARY, **BINARY}:
        rows = list(rows_of(rule.name, {**UNARY, **BINARY}[rule.name], 6 if rule.name in UNARY else 24))
    else:
        return ""
    found: dict[int, float] = {}
    for row in rows:
        order = 0 if row.what == "value" else 1 if row.what[1] == "/" else int(row.what[1])
        found[order] = max(found.get(order, 0.0), row.error)
    return ", ".join(f"{found[order]:.0e}" for order in range(3) if order in found)


HEAD = """# Functions of scipy.special

All of these ufuncs take traced values, as in `scipy.special.gammainc(a, x)`. Derivatives are exact, of every
order: they are formulas, series or integrals, never differences. The errors are relative, and the worst of
those that `python -m benchmarks --accuracy` finds against mpmath: of the value, of the first derivatives, and
of the second ones. This page is written by `python -m benchmarks.special_support`.

Python functions of scipy.special do not dispatch. `tapegrad.special` has those of them that are common:
`logsumexp`, `softmax`, `log_softmax`, `polygamma`, `multigammaln`, `comb`, `zeta` and `lambertw`.

| function | derivatives in | worst errors |
|---|---|---|
"""


def page(errors: dict[str, str]) -> str:
    """The whole page."""
    rest = "\n".join(
        f"* {reason}: {', '.join(f'`{name}`' for name in sorted(names))}."
        for reason, names in REASONS.items()
    )
    return f"{HEAD}{chr(10).join(lines(errors))}\n\n## Without a rule\n\n{rest}\n"


if __name__ == "__main__":
    PAGE.write_text(
        page({name: worst(name) for name in ufuncs() if ufuncs()[name] in NUMPY}), encoding="utf-8"
    )
