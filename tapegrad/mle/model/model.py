"""What is fitted: a log-likelihood traced in free coordinates, with its rows, its prior and its data."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.division import Division
from tapegrad.marginal.surface import Marginal
from tapegrad.mle.model.space import Space
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]

WEIGHTS = "observation weights"  # with a space: no parameter and no data are called so


@dataclass(frozen=True, eq=False)
class Model:
    """The function that `fit` maximises. The result keeps it, so that one can refit, profile and resample.

    Free vectors have shape (q,), natural vectors shape (p,); see `Space`.

    Attributes
    ----------
    specification : Specification
        What the user wrote: log-likelihood, log-prior, and the space of their parameters.
    function : TracedFunction or Marginal
        What is maximised, as a function of the free coordinates: the (weighted) log-likelihood, plus the
        log-prior where there is one; of a model with random effects, the marginal one. Use `value_flat`,
        `value_and_grad_flat` and `hessian_flat` with a free vector.
    rows : TracedFunction or None
        The log-likelihood of each observation, unweighted and without the prior, shape (n,), as a function
        of the free coordinates; None where the log-likelihood is one number.
    prior : TracedFunction or None
        The log-prior as a function of the free coordinates.
    data : mapping of str to array
        The data that can be rebound.
    weights : ndarray, shape (n,), or None
        What the rows are multiplied by.
    nobs : int or None
        Number of observations, if known.
    joint_rows : TracedFunction or None
        The rows of a joint log-likelihood that returns some, as a function of free coordinates and random
        effects.
    """

    specification: "Specification"
    function: TracedFunction | Marginal
    rows: TracedFunction | None
    prior: TracedFunction | None
    data: Mapping[str, Any]
    weights: Array | None
    nobs: int | None
    joint_rows: TracedFunction | None = None

    @property
    def space(self) -> Space:
        """The map between free and natural vectors, and the names of both."""
        return self.specification.space

    @property
    def division(self) -> Division | None:
        """Which parameters are random effects; None where there are none."""
        return self.specification.division

    @property
    def marginal(self) -> Marginal:
        """What is maximised, of a model with random effects.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not isinstance(self.function, Marginal):
            raise ValueError(f"{self.name} has no random effects: name them as fit(..., random=...)")
        return self.function

    @property
    def loglik(self) -> Callable[..., Any] | TracedFunction:
        """The user's log-likelihood, of natural parameters and data."""
        return self.specification.loglik

    @property
    def name(self) -> str:
        """The name of the log-likelihood."""
        return self.specification.name

    def llf(self, free: Array, objective: float) -> float:
        """The log-likelihood at `free`, where `function` is `objective`: without the prior."""
        return objective if self.prior is None else objective - self.prior.value_flat(free)

    def natural_params(self, free: Array) -> Any:
        """The natural parameters of a free vector, in the user's structure."""
        return self.space.structure.unravel(self.space.natural(free))

    def with_data(self, **data: Any) -> "Model":
        """The same model on other data of the same shapes, without a new trace.

        Raises
        ------
        ValueError
            If there is no such data, or its shape differs.
        """
        if not self.data:
            raise ValueError(
                "this fit has no data to replace: pass it as fit(loglik, params, data=dict(x=x))"
            )
        return replace(
            self,
            function=self.function.with_data(**data),
            rows=None if self.rows is None else self.rows.with_data(**data),
            joint_rows=None if self.joint_rows is None else self.joint_rows.with_data(**data),
            data={**self.data, **data},
        )

    def require_rows(self, what: str, whole: bool = True) -> TracedFunction:
        """The log-likelihood of each observation; with `whole`, of all in one place.

        Raises
        ------
        ValueError
            If the log-likelihood is one number, where `what` needs one for each observation, or if the data
            are in pieces; the message says so.
        """
        if self.rows is None and self.division is not None:
            raise ValueError(
                f"{what} need the log-likelihood of each observation; with random effects there is none, "
                "because observations that share one are not independent"
            )
        if self.rows is None:
            raise ValueError(
                f"{what} need the log-likelihood of each observation: let {self.name} return an array of "
                "shape (n,), without the .sum() at its end"
            )
        if whole and self.rows.is_in_pieces:
            raise ValueError(
                f"{what} need the log-likelihoods of all observations in one place, and the data are in "
                "pieces: value, derivatives, standard errors, tests and profiles need only sums of them, and "
                "so do the covariances 'opg', 'HC0', 'HC1' and 'cluster'"
            )
        return self.rows

    def require_joint_rows(self, what: str) -> TracedFunction:
        """The rows of the joint log-likelihood.

        Raises
        ------
        ValueError
            If it is one number.
        """
        if self.joint_rows is None:
            raise ValueError(
                f"{what} need independent rows; with random effects there is none for an observation, "
                f"because observations that share one are not independent: let {self.name} return one row "
                "for each block of random effects, or one for each observation and random effect, in groups"
            )
        return self.joint_rows

    @property
    def is_in_pieces(self) -> bool:
        """Whether the data are on disk or on a cluster."""
        return isinstance(self.function, TracedFunction) and self.function.is_in_pieces

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.require_rows("rows").outputs.size

    @cached_property
    def weighted(self) -> TracedFunction:
        """What is maximised, as a function of the free coordinates and of the weights: one trace
        for all weights.

        Its flat vector is the free one (q,) followed by the weights (n,).
        """
        self.require_rows("weights")
        given = self.specification

        def objective(**arguments: Any) -> Any:
            weights = arguments.pop(WEIGHTS)
            pieces, data = given.split(arguments)
            return given.total(pieces, data, weights)

        start = given.space.free_structure.unravel(given.space.start)
        start[WEIGHTS] = np.ones(self.n_rows)
        return given.trace(objective, start, self.data)


@dataclass(frozen=True, eq=False)
class Specification:
    """What the user wrote, and how it is called on free coordinates.

    Attributes
    ----------
    loglik : callable or TracedFunction
        The log-likelihood, of natural parameters (and data): a number, or one for each observation.
    logprior : callable or None
        The log-prior, of natural parameters.
    space : Space
        That of the parameters to be estimated.
    division : Division or None
        Which of the log-likelihood's parameters these are, where others are random effects.
    """

    loglik: Callable[..., Any] | TracedFunction
    logprior: Callable[..., Any] | None
    space: Space
    division: Division | None = None

    @property
    def name(self) -> str:
        """The name of the log-likelihood."""
        if isinstance(self.loglik, TracedFunction):
            return self.loglik.tape.name
        return getattr(self.loglik, "__name__", type(self.loglik).__name__).replace("<lambda>", "f")

    def split(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keyword arguments as free coordinates (and random effects), and data."""
        labels = {leaf.label for leaf in self.space.free_structure.leaves}
        if self.division is not None:
            labels.update(self.division.random_keys)
        pieces = {key: value for key, value in arguments.items() if key in labels}
        return pieces, {key: value for key, value in arguments.items() if key not in labels}

    def values(self, pieces: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
        """What the user's log-likelihood returns."""
        params = self.space.params(pieces)
        if self.division is not None:
            leaves = zip(self.space.structure.leaves, self.space.leaves(pieces), strict=True)
            params = self.division.whole({**pieces, **{leaf.label: value for leaf, value in leaves}})
        if isinstance(self.loglik, TracedFunction):
            return self.loglik.on(params, data)
        return call(self.loglik, params, data)

    def prior(self, pieces: Mapping[str, Any]) -> Any:
        """The log-prior."""
        return 0.0 if self.logprior is None else call(self.logprior, self.space.params(pieces), {})

    def total(self, pieces: Mapping[str, Any], data: Mapping[str, Any], weights: Any) -> Any:
        """The function to maximise; without weights if `weights` is None."""
        values = self.values(pieces, data)
        if weights is not None:
            # What has no weight is left out, also where its log-likelihood is not finite.
            values = np.where(np.greater(weights, 0.0), weights * values, 0.0)
        total = np.sum(values)
        return total if self.logprior is None else total + self.prior(pieces)

    def kept(
        self, what: Hashable, f: Callable[..., Any], start: Any, data: Mapping[str, Any]
    ) -> TracedFunction:
        """What `trace` gives; of a function that is traced already, the one of an earlier fit of it.

        `what` tells apart what is made of it.
        """
        made = self.loglik.made if isinstance(self.loglik, TracedFunction) else {}
        key = (what, self.space.key)
        if self.logprior is not None or self.division is not None:
            return self.trace(f, start, data)
        if key not in made:
            made[key] = self.trace(f, start, data)
        return made[key]

    def trace(self, f: Callable[..., Any], start: Any, data: Mapping[str, Any]) -> TracedFunction:
        """Trace a function of free coordinates under the name of the user's, to run as theirs."""
        f.__name__ = self.name
        f.__wrapped__ = self.loglik  # type: ignore[attr-defined]
        if isinstance(self.loglik, TracedFunction):
            backend, threads = self.loglik.backend, self.loglik.threads
            return trace_quietly(f, start, data=data, backend=backend, threads=threads)
        return trace_quietly(f, start, data=data)
