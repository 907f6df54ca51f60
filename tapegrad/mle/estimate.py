"""The data of a fit: what was estimated, and what follows from its fields by arithmetic alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from tapegrad.errors import NonFiniteWarning
from tapegrad.mle.matrices import generalised_inverse, is_reliable, moves_along
from tapegrad.mle.model.model import Model
from tapegrad.mle.notices import warn

Array: TypeAlias = npt.NDArray[np.float64]

_LABELLED: Final = re.compile(r"[^\[]+\[.*\]")


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A maximum-likelihood fit, under statsmodels' names.

    Every array over the parameters is flat, in the order of `names`; `labelled` has the same as pandas
    objects, and `tapegrad.mle.plots` draws them. Where the Hessian is not negative definite, standard errors
    and all that follows from them are NaN; `message` says why, and `diagnose()` at length. The fit itself
    takes place in free coordinates: without transforms, fixed or tied parameters these are the parameters.
    There are p parameters and q free coordinates.

    Attributes
    ----------
    params : float, ndarray, or a nest of lists, tuples and dicts of them
        The estimates in the structure of the parameters given.
    x : ndarray of shape (p,)
        The estimates, flat.
    names : tuple of str
        The parameters' names, such as "mu" or "beta[2]".
    llf : float
        The log-likelihood at the estimates.
    observed_info : ndarray of shape (q, q)
        Minus the Hessian at the estimates of what was maximised, in free coordinates.
    nobs : int or None
        Number of observations, if given or known, see `fit`; `bic`, `aicc` and `df_resid` need it.
    converged : bool
        Whether the estimates are a maximum: the gradient there is small relative to the curvature, and the
        Hessian is negative definite. `success` is SciPy's name for it.
    message : str
        How the fit ended.
    nit, nfev, njev, nhev : int
        Iterations, Newton's at the end included, and the evaluations of the log-likelihood, of its gradient
        and of its Hessian.
    method : str
        The optimiser, as asked for.
    model : str
        Name of the log-likelihood.
    cov_type : str
        The kind of covariance matrix, see `fit`: "nonrobust" is the inverse of `observed_info`.
    free : ndarray of shape (q,) or None
        The estimates in free coordinates; None where these are the parameters.
    cov_free : ndarray of shape (q, q) or None
        Covariance matrix of the free coordinates, where it is not the inverse of `observed_info`.
    jacobian : ndarray of shape (p, q) or None
        Derivative of the parameters in the free coordinates; None where these are the parameters.
    flat : ndarray of shape (q, k) or None
        Directions in free coordinates that the data do not determine, each confirmed by evaluating along it:
        what moves along them has no standard errors, the rest has those of a generalised inverse.
    ends : tuple of str
        The free coordinates among these directions that have run to an end, as the logarithm of a variance
        that is estimated at 0 does.
    modes, modes_bse : ndarray of shape (r,) or None
        The random effects where the joint log-likelihood is highest, and their standard errors; None in a
        model without. `random` has them by name.
    random_names : tuple of str
        Their names.
    quadrature : int
        With how many nodes along each of them they were integrated out; 1 is Laplace's method.
    path : ndarray of shape (k,) or None
        The best log-likelihood so far at each of the optimiser's evaluations that improved it.
    seconds : float or None
        How long `fit` took, the trace included; None where that is not known.
    dropped : int
        How many rows of the data were left out because something was missing in them.
    """

    params: Any
    x: Array
    names: tuple[str, ...]
    llf: float
    observed_info: Array
    nobs: int | None
    converged: bool
    message: str
    nit: int
    nfev: int
    method: str
    model: str
    njev: int = 0
    nhev: int = 0
    cov_type: str = "nonrobust"
    free: Array | None = None
    cov_free: Array | None = None
    jacobian: Array | None = None
    path: Array | None = None
    flat: Array | None = None
    ends: tuple[str, ...] = ()
    random_names: tuple[str, ...] = ()
    modes: Array | None = None
    modes_bse: Array | None = None
    seconds: float | None = None
    dropped: int = 0
    quadrature: int = 1
    _model: Model | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # The model holds the user's function, which need not pickle; what needs it says so.
        return {**self.__dict__, "_model": None}

    def require_model(self, what: str) -> Model:
        """The traced model behind the fit.

        Raises
        ------
        ValueError
            If this result was unpickled or read from a file: `what` then needs a new fit.
        """
        if self._model is None:
            raise ValueError(
                f"{what} needs the log-likelihood, which is not stored with a result: fit again, from "
                "these params"
            )
        return self._model

    @property
    def kept_model(self) -> Model | None:
        """The traced model, for what can do without it."""
        return self._model

    @property
    def free_names(self) -> tuple[str, ...]:
        """What the free coordinates are called, such as "log(sigma)"; of a fit from a file "free[0]" and so
        on, where they are not the parameters."""
        if self.free is None:
            return self.names
        if self._model is None:
            return tuple(f"free[{i}]" for i in range(self.free.size))
        space = self._model.space
        names = list(space.free_names)
        for place, owner in enumerate(space.owner):
            if owner == place and space.coordinate[place] >= 0:  # under the name that it has now
                coordinate = space.coordinate[place]
                names[coordinate] = names[coordinate].replace(space.names[place], self.names[place])
        return tuple(names)

    @property
    def success(self) -> bool:
        """`converged`, under SciPy's name."""
        return self.converged

    @property
    def free_estimates(self) -> Array:
        """The estimates in free coordinates, of shape (q,); without transforms they are `x`."""
        return self.x if self.free is None else self.free

    @property
    def has_prior(self) -> bool:
        """Whether a log-prior took part; of a fit from a file that is not known, and False."""
        return self._model is not None and self._model.prior is not None

    # Errors -------------------------------------------------------------------------------------------------

    def cov_params(self) -> Array:
        """Covariance matrix of the estimates, of shape (p, p); zeros for those that were fixed."""
        cov = self.cov_where_determined()
        if self.flat is not None:
            moved = self.moves_along_flat(np.eye(self.x.size))
            cov[moved], cov[:, moved] = np.nan, np.nan
        return cov

    def cov_of(self, slopes: Array) -> Array:
        """Covariance matrix of functions of the parameters, of shape (m, m); NaN where the data do not
        determine them.

        Parameters
        ----------
        slopes : ndarray of shape (m, p)
            Their derivatives in the parameters.
        """
        cov = np.asarray(slopes @ self.cov_where_determined() @ slopes.T)
        moved = self.moves_along_flat(slopes)
        cov[moved], cov[:, moved] = np.nan, np.nan
        return cov

    def cov_of_free(self) -> Array:
        """Covariance matrix of the free coordinates, of shape (q, q), as far as the data determine it."""
        if self.cov_free is not None:
            return self.cov_free
        return generalised_inverse(self.observed_info, self.flat)

    @property
    def free_bse(self) -> Array:
        """Standard errors of the free coordinates, of shape (q,)."""
        moved = moves_along(np.eye(self.df_model), self.observed_info, self.flat)
        return np.sqrt(np.where(moved, np.nan, np.diag(self.cov_of_free())))

    def cov_where_determined(self) -> Array:
        """The covariance matrix for all that does not change along `flat`; other elements have no meaning."""
        free = self.cov_of_free()
        if self.jacobian is None:
            return free.copy()
        if np.isnan(free).any():  # 0 for the fixed ones would then be 0 times nan
            return np.full((self.x.size, self.x.size), np.nan)
        jacobian = np.where(self.is_fixed[:, None], 0.0, self.jacobian)
        return np.asarray(jacobian @ free @ jacobian.T)

    def moves_along_flat(self, slopes: Array) -> npt.NDArray[np.bool_]:
        """Which functions of the parameters the data do not determine, of shape (m,).

        Parameters
        ----------
        slopes : ndarray of shape (m, p)
            Their derivatives in the parameters. A function that changes along one of the directions `flat`
            has no standard error.
        """
        free = slopes if self.jacobian is None else slopes @ self.jacobian
        return moves_along(free, self.observed_info, self.flat)

    def corr_params(self) -> Array:
        """Correlation matrix of the estimates, of shape (p, p); NaN in the rows of fixed ones."""
        cov, bse = self.cov_params(), self.bse
        with np.errstate(invalid="ignore"):
            return np.asarray(cov / np.outer(bse, bse))

    @property
    def bse(self) -> Array:
        """Standard errors, of shape (p,): the square roots of the diagonal of `cov_params()`."""
        return np.sqrt(np.diag(self.cov_params()))

    @property
    def std_errors(self) -> Array:
        """`bse`, in words."""
        return self.bse

    @property
    def is_fixed(self) -> npt.NDArray[np.bool_]:
        """Which parameters were held at their values, of shape (p,)."""
        if self.jacobian is None:
            return np.zeros(self.x.size, dtype=np.bool_)
        # The ones in a correlation matrix come out of their transform with slopes that are rounding.
        slopes = np.abs(self.jacobian).max(axis=1)
        return np.asarray(slopes <= 1e-14 * np.minimum(np.abs(self.x), 1.0))

    @property
    def se_reliable(self) -> bool:
        """Whether to rely on the standard errors: converged, and the information well away from singular.

        This says nothing about how good Wald's approximation is; `diagnose()` looks at that, too.
        """
        return self.converged and is_reliable(self.observed_info)

    @property
    def zvalues(self) -> Array:
        """Estimates over their standard errors, of shape (p,); NaN for fixed ones."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.is_fixed, np.nan, self.x / self.bse)

    @property
    def tvalues(self) -> Array:
        """`zvalues`, under the name that statsmodels has for both."""
        return self.zvalues

    @property
    def pvalues(self) -> Array:
        """Probability of a larger ``|z|`` were the parameter 0, by the normal distribution, of shape (p,)."""
        return np.asarray(2.0 * ndtr(-np.abs(self.zvalues)))

    # Criteria -----------------------------------------------------------------------------------------------

    @property
    def df_model(self) -> int:
        """Number of estimated free coordinates, a constant included."""
        return len(self.observed_info)

    @property
    def df_resid(self) -> float:
        """``nobs - df_model``; NaN, with a warning, where the number of observations is not known."""
        return self._observations("df_resid") - self.df_model

    def _observations(self, what: str) -> float:
        if self.nobs is None:
            warn(
                f"{what} is NaN: the number of observations is not known; pass nobs= to fit", NonFiniteWarning
            )
            return np.nan
        return self.nobs

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 q - 2 llf``."""
        return 2.0 * self.df_model - 2.0 * self.llf

    @property
    def aicc(self) -> float:
        """Akaike's criterion corrected for small samples, ``aic + 2 q (q + 1) / (nobs - q - 1)``.

        NaN, with a warning, where the number of observations is not known; infinite where it is ``q + 1`` or
        less.
        """
        q, room = self.df_model, self._observations("aicc") - self.df_model - 1.0
        return np.inf if room <= 0.0 else float(self.aic + 2.0 * q * (q + 1.0) / room)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``q log(nobs) - 2 llf``; NaN, with a warning, where the number of observations
        is not known."""
        return float(self.df_model * np.log(self._observations("bic")) - 2.0 * self.llf)

    # Names --------------------------------------------------------------------------------------------------

    def renamed(self, **names: str | Sequence[str]) -> Self:
        """The same fit under other names, for tables and tests.

        Parameters
        ----------
        **names : str or sequence of str
            For a parameter or a random effect by its name, or for all elements of one by what stands before
            their brackets, what to call them: ``renamed(beta=X.columns, u=sites)``. Random effects keep
            their label, as in "u[Oslo]", unless the names have one, as in "town[Oslo]".

        Raises
        ------
        ValueError
            If there is no such parameter, if the names are not as many as the elements, or if two parameters
            or two random effects would have one name.

        Examples
        --------
        >>> from tapegrad import fit
        >>> result = fit(lambda b: -((b[0] - 2.0) ** 2) - b[1] ** 2, dict(b=[0.0, 1.0]))
        >>> result.renamed(b=["const", "dose"]).names
        ('const', 'dose')
        """
        new, random = list(self.names), list(self.random_names)
        for label, given in names.items():
            texts = [given] if isinstance(given, str) else list(map(str, given))
            places = _places_of(label, self.names)
            target = new if places else random
            places = places or _places_of(label, self.random_names)
            if len(places) != len(texts):
                labels = dict.fromkeys(name.partition("[")[0] for name in self.random_names)
                known = ", ".join((*self.names, *labels))
                raise ValueError(f"{label} has {len(places)} elements, not {len(texts)}; there are {known}")
            if target is random:  # found by their label later, as in result.random["u"]
                texts = [text if _LABELLED.fullmatch(text) else f"{label}[{text}]" for text in texts]
            for i, text in zip(places, texts, strict=True):
                target[i] = text
        for told, kind in ((new, "parameters"), (random, "random effects")):
            if len(set(told)) < len(told):
                raise ValueError(f"two {kind} cannot have one name: {', '.join(told)}")
        return replace(self, names=tuple(new), random_names=tuple(random))


def _places_of(label: str, names: Sequence[str]) -> list[int]:
    return [i for i, name in enumerate(names) if name == label or name.startswith(f"{label}[")]
