"""How accurately random effects are integrated out: by more nodes of a quadrature, and by random draws."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.marginal.importance import Sampled, sampled
from tapegrad.marginal.quadrature import marginal_of
from tapegrad.mle.climb.refit import refit as again
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.tables import Table, Tabled, text_table

Array: TypeAlias = npt.NDArray[np.float64]

# Shares of a standard error by which estimates may be off: what passes for nothing, and what for little.
_NOTHING: Final = 0.03
_LITTLE: Final = 0.1
# Differences of log-likelihoods that pass for nothing.
_SAME: Final = 0.1
# A share of the draws: with fewer effective ones, the error itself is a guess.
_FEW: Final = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class LaplaceCheck(Tabled):
    """How accurately a fit integrates its random effects out; made by `check_laplace`.

    Attributes
    ----------
    nodes : tuple of int
        The nodes along each random effect, one line of the table for each; 1 is Laplace's method.
    llf : ndarray of shape (k,)
        The marginal log-likelihoods at the estimates of the fit.
    shifts : ndarray of shape (k, q)
        About how far the estimates would move with so many nodes, in standard errors, in free coordinates: by
        one step of Newton's method. NaN where there is no standard error.
    free_names : tuple of str
        What these are called.
    estimates : ndarray of shape (k, p) or None
        The parameters fitted again with so many nodes, NaN where that did not converge, if `refit` was set.
    names : tuple of str
        What these are called.
    fitted : int
        The nodes of the fit.
    fitted_llf : float
        Its log-likelihood.
    sampled : Sampled or None
        The marginal log-likelihood by importance sampling, with its standard error, if `samples` were given.
    """

    nodes: tuple[int, ...]
    llf: Array
    shifts: Array
    free_names: tuple[str, ...]
    estimates: Array | None
    names: tuple[str, ...]
    fitted: int
    fitted_llf: float
    sampled: Sampled | None

    @property
    def is_accurate(self) -> bool:
        """Whether nothing was found that would change a conclusion."""
        return self._by_nodes()[0] and self._by_draws()[0]

    @property
    def verdict(self) -> str:
        """A sentence or two on whether the fit integrates well enough."""
        return " ".join(text for _, text in (self._by_nodes(), self._by_draws()) if text)

    def _method(self) -> str:
        return "Laplace's method" if self.fitted == 1 else f"Quadrature with {self.fitted} nodes"

    def _by_nodes(self) -> tuple[bool, str]:
        if not self.nodes:
            return True, ""
        best = int(np.argmax(self.nodes))
        shifts = self.shifts[:, ~np.isnan(self.shifts).any(axis=0)]
        sizes = np.abs(shifts - shifts[best]).max(axis=1, initial=0.0)
        close = (sizes <= _NOTHING) & (np.abs(self.llf - self.llf[best]) <= _SAME)
        enough = [n for n, is_close in zip(self.nodes, close, strict=True) if is_close]
        most = self.nodes[best]
        if len(enough) < 2 and len(self.nodes) > 1 and most > 1:
            return False, f"The quadrature has not settled with {most} nodes: ask for more."
        if not shifts.size:
            apart = self.llf[best] - self.fitted_llf
            return bool(abs(apart) <= _SAME), (
                f"{self._method()} is off by {apart:.3g} in the log-likelihood; the standard errors are "
                "unknown, and with them what that means for the estimates."
            )
        place = int(np.nanargmax(np.abs(self.shifts[best])))
        off = float(np.abs(self.shifts[best, place]))
        moved = f"with {most} nodes, the estimates move by at most {off:.2g} standard errors"
        if off <= _LITTLE:
            return True, f"{self._method()} is accurate here: {moved}."
        return False, (
            f"{self._method()} is inaccurate here: {moved} ({self.free_names[place]}). Fit again with "
            f"quadrature={min(enough)}."
        )

    def _by_draws(self) -> tuple[bool, str]:
        found = self.sampled
        if found is None:
            return True, ""
        if found.effective < _FEW * found.samples:
            return False, (
                f"Of {found.samples:,} draws, the effective number is {found.effective:,.0f}: too few to "
                "trust the importance sampling and its error."
            )
        apart = self.fitted_llf - found.llf
        spread = 1.96 * found.se
        if abs(apart) <= max(spread, _SAME):
            return True, (
                f"{self._method()} agrees with importance sampling, to {max(abs(apart), spread):.2g} in the "
                "log-likelihood."
            )
        return False, (
            f"{self._method()} is off by {apart:.3g} in the log-likelihood by importance sampling "
            f"(95% interval {apart - spread:.3g} to {apart + spread:.3g})."
        )

    def table(self) -> Table:
        """The log-likelihoods by nodes: print it, or take its HTML, LaTeX or Markdown."""
        rows = []
        for n, llf, shifts in zip(self.nodes, self.llf, self.shifts, strict=True):
            sizes = np.abs(shifts[~np.isnan(shifts)])
            shift = format(sizes.max(), ".4f") if sizes.size else "unknown"
            name = f"{n} (Laplace)" if n == 1 else str(n)
            rows.append((name, format(llf, ".6f"), format(llf - self.fitted_llf, ".6f"), shift))
        header = ("Nodes", "Log-likelihood", "Difference", "Shift of estimates (SE)")
        return Table(header, tuple(rows), notes=(*self._draws(), self.verdict))

    def _draws(self) -> tuple[str, ...]:
        found = self.sampled
        if found is None:
            return ()
        return (
            f"Importance sampling: {found.llf:.6f} (se {found.se:.2g}), {found.samples:,} draws, "
            f"effective {found.effective:,.0f}",
        )

    def _refitted(self) -> Table | None:
        """The estimates by nodes, where they were fitted again."""
        if self.estimates is None:
            return None
        columns = zip(self.names, self.estimates.T, strict=True)
        rows = tuple((name, *(format(x, ".6f") for x in column)) for name, column in columns)
        return Table(("Estimates", *map(str, self.nodes)), rows)

    def __str__(self) -> str:
        table, estimates = self.table(), self._refitted()
        lines = text_table([table.header, *table.rows]) if self.nodes else []
        more = () if estimates is None else (str(estimates),)
        return "\n".join([*lines, *self._draws(), *more, *textwrap.wrap(self.verdict, 100)])

    def _repr_html_(self) -> str:
        estimates = self._refitted()
        return self.as_html() + ("" if estimates is None else estimates.as_html())

    __repr__ = __str__


def check_laplace(
    result: Estimate,
    nodes: Sequence[int] = (1, 3, 7, 15),
    *,
    refit: bool = False,
    samples: int | None = None,
    seed: int | None = None,
) -> LaplaceCheck:
    """How accurately the random effects of a fit are integrated out.

    The marginal log-likelihood at the estimates is computed with different numbers of nodes of adaptive
    Gauss-Hermite quadrature, where the random effects fall into groups of one to three that never meet; and
    by importance sampling, for any model. Where they agree, the method of the fit is accurate.

    Parameters
    ----------
    result : FitResult
    nodes : sequence of int
        Numbers of nodes along each random effect; 1 is Laplace's method. Empty, for importance sampling
        alone.
    refit : bool
        Whether to fit again with each number of nodes, from the estimates on.
    samples : int, optional
        A number of draws of all random effects, for importance sampling.
    seed : int, optional
        Of the draws: the same seed gives the same numbers.

    Returns
    -------
    LaplaceCheck
        Its `str` is a table with a verdict below.

    Raises
    ------
    ValueError
        If the model has no random effects, or the fit was read from a file; or if quadrature was asked for
        and more than three random effects meet: then pass ``nodes=()`` and `samples`.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> from tapegrad.stats import bernoulli, norm
    >>> y = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]])
    >>> def joint(mu, log_sd, u):
    ...     p = 1.0 / (1.0 + np.exp(-mu - np.exp(log_sd) * u[:, None]))
    ...     return norm.logpdf(u).sum() + bernoulli.logpmf(y, p).sum()
    >>> result = tg.fit(joint, dict(mu=0.0, log_sd=0.0, u=np.zeros(6)), random="u", nobs=24)
    >>> print(result.check_laplace())
    Nodes        Log-likelihood  Difference  Shift of estimates (SE)
    1 (Laplace)      -15.311016    0.000000                   0.0000
    3                -15.201908    0.109108                   0.0627
    7                -15.177075    0.133942                   0.1155
    15               -15.176835    0.134181                   0.1164
    Laplace's method is inaccurate here: with 15 nodes, the estimates move by at most 0.12 standard errors
    (log_sd). Fit again with quadrature=7.
    """
    model = result.require_model("a check of Laplace's method")
    marginal, free = model.marginal, result.free_estimates
    if len(nodes) == 0 and samples is None:
        raise ValueError("nothing to compute: give nodes, or samples for importance sampling")
    if samples is not None and (not isinstance(samples, int | np.integer) or samples < 2):
        raise ValueError(f"samples is a whole number, 2 or more, not {samples!r}")
    plain = replace(result, cov_free=None)  # without what makes errors robust
    cov, errors = plain.cov_of_free(), plain.free_bse
    llf, shifts, estimates = [], [], []
    start = marginal.mode(free).u
    for n in nodes:
        same = marginal if n == result.quadrature else marginal_of(marginal.joint, start, n)
        value, slope = same.value_and_grad_flat(free)
        llf.append(model.llf(free, value))
        shifts.append(cov @ slope / errors)
        if refit:
            end = again(replace(model, function=same), free)
            natural = model.space.natural(end.free)
            estimates.append(natural if end.converged else np.full_like(natural, np.nan))
    drawn = None
    if samples is not None:
        drawn = sampled(marginal, free, samples, seed)
        drawn = replace(drawn, llf=model.llf(free, drawn.llf))
    return LaplaceCheck(
        nodes=tuple(map(int, nodes)),
        llf=np.array(llf),
        shifts=np.array(shifts).reshape(len(nodes), free.size),
        free_names=result.free_names,
        estimates=np.array(estimates) if refit else None,
        names=result.names,
        fitted=result.quadrature,
        fitted_llf=result.llf,
        sampled=drawn,
    )
