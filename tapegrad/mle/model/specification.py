"""What the user wrote of a model, and how it is called on free coordinates."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.marginal.division import Division
from tapegrad.mle.model.space import Space
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]


def weighted(values: Any, weights: Any) -> Any:
    """Log-likelihoods times weights, unless these are None.

    What has no weight is left out, also where its log-likelihood is not finite.
    """
    return values if weights is None else np.where(np.greater(weights, 0.0), weights * values, 0.0)


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
        total = np.sum(weighted(self.values(pieces, data), weights))
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
