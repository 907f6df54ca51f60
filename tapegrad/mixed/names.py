"""Names for the variables of a joint log-likelihood that is written from a formula."""

from __future__ import annotations

import builtins
import re
from keyword import iskeyword, issoftkeyword

from tapegrad.backends.written import Name, written

# What the source uses under these names whatever the formula.
_RESERVED = (
    *("np", "norm", "poisson", "nbinom_mu", "gamma_mean", "beta_mean", "multivariate_normal_chol"),
    *("unstructured", "expit", "log_expit", "ndtr", "log_ndtr", "betaln", "joint"),
    *("X", "X_zi", "beta", "beta_zi", "eta", "eta_zi", "mu", "log_p", "log_q", "choose", "is_zero", "inside"),
    *("loglik", "density", "sigma", "size", "shape", "phi", "trials", "weights", "offset", "offset_zi"),
)


class Names:
    """Gives each thing an identifier of its own, close to its name in the data."""

    def __init__(self) -> None:
        self._taken = {*_RESERVED, *dir(builtins)}

    def new(self, text: str) -> str:
        """An identifier for something of this name."""
        plain = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "v"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        while plain in self._taken or iskeyword(plain) or issoftkeyword(plain):
            plain += "_"
        self._taken.add(plain)
        return written(Name(plain))

    def prefixed(self, prefix: str, ident: str) -> str:
        """An identifier such as ``sd_site``, for what belongs to another."""
        return self.new(f"{prefix}_{ident}")
