"""How a fit looks for the maximum: the optimiser in phases and from several starts, and Newton's steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.traced import TracedFunction
from tapegrad.mle.climb import optimizers
from tapegrad.mle.climb.climbing import NEWTON_STEPS, End, climb, polish
from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.climb.onward import onward
from tapegrad.mle.climb.optimizers import INVARIANT, Run
from tapegrad.mle.climb.rounding import Clear, is_clear, loudest
from tapegrad.mle.climb.starts import moving_by_phase, starts
from tapegrad.mle.climb.surfaces import Counted, Slice, Surface
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import outer_products

Array: TypeAlias = npt.NDArray[np.float64]
Watch: TypeAlias = Callable[[Array, float], None]

# Ends whose values differ by less than this share are the same maximum.
_SAME_VALUE = 1e-8
# How much more rounding Newton's steps may meet than the search before them.
_BEHIND_THE_WALL = 30.0


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    end : End
        The best end.
    run : Run
        The optimiser's run that led there, or the one that was stopped, after which no other was begun.
    nit : int
        Iterations of all runs, Newton's steps included.
    path : list of float
        The best value so far, each time that it rose on the way to that end.
    note : str
        What to say about the other starts.
    """

    end: End
    run: Run
    nit: int
    path: list[float]
    note: str = ""

    @property
    def converged(self) -> bool:
        """Whether the end is a maximum, and the search was allowed to end."""
        return self.end.converged and not self.run.stopped


@dataclass(frozen=True)
class Search:
    """How each start is to be run.

    Attributes
    ----------
    model : Model
    surface : Counted
        The model's function.
    optimizer : str
        As `optimizers.resolve` gives it.
    maxiter : int or None
    watch : callable or None
        Called after each iteration, see `Objective`.
    """

    model: Model
    surface: Counted
    optimizer: str
    maxiter: int | None
    watch: Watch | None

    def best(self, value: float, phases: Mapping[str, int], count: int, seed: int | None) -> Found:
        """The best end of so many starts, the first of them where the phases have led.

        Parameters
        ----------
        value : float
            That at the model's start.
        phases : mapping of str to int
            The phase in which a parameter begins to be estimated.
        count : int
            Number of starts.
        seed : int or None
            Of the random ones.
        """
        first, path, run = self._through(phases, [value])
        nit = run.nit
        if run.stopped:
            return Found(polish(self.surface, first, 0), run, nit, path)
        found: list[Found] = []
        try:
            for start, start_value in starts(self.surface, first, path[-1], count, seed):
                found.append(self._from(start, start_value))
                run = found[-1].run
                if run.stopped:
                    break
        except KeyboardInterrupt:  # between two runs, which look after themselves
            if not found:
                raise
            run = Run(0, "interrupted", stopped=True)
        best = max(found, key=_height)
        return Found(
            best.end,
            run if run.stopped else best.run,
            nit + sum(one.nit for one in found),
            path[:-1] + best.path if best is found[0] else best.path,
            _note(found, best, count),
        )

    def _from(self, start: Array, value: float) -> Found:
        """The end from one start.

        Where an optimiser does not arrive, it may have stopped short, or at a point of inflection: Newton's
        steps and leaps lead on. If they do not, the units of the parameters may be to blame, or rounding that
        passes for height: it begins anew in other units, where the log-likelihood can be told from rounding.
        """
        first = self._once(self.surface, start, value, self.maxiter, scaled=False)
        if self._is_over(first):
            return first
        first = self._onward(self.surface, first)
        surface = (
            self.surface if self._is_clear(first.end) else Clear(self.surface, self.model.function, value)
        )
        again = surface is not self.surface and is_clear(self.model.function, start)
        if self._is_over(first) or not (again or self.optimizer not in INVARIANT):
            return first
        left = None if self.maxiter is None else self.maxiter - first.nit
        second = self._once(surface if again else self.surface, start, value, left, scaled=True)
        if not self._is_over(second):
            if again:  # along the wall, which must not keep the other parameters from their maximum
                surface = Clear(self.surface, self.model.function, second.end.value, _BEHIND_THE_WALL)
            second = self._onward(surface, second, first.nit)
            second = self._along_the_wall(second) if again and not self._is_over(second) else second
        best = second if again and not first.end.arrived else max(first, second, key=_height)
        return replace(best, run=second.run if second.run.stopped else best.run, nit=first.nit + second.nit)

    def _is_over(self, found: Found) -> bool:
        spent = self.maxiter is not None and found.nit >= self.maxiter
        return found.end.arrived or found.run.stopped or spent

    def _is_clear(self, end: End) -> bool:
        return end.arrived or (np.isfinite(end.value) and is_clear(self.model.function, end.x))

    def _onward(self, surface: Surface, found: Found, spent: int = 0) -> Found:
        """Where the way leads on from an end."""
        left = None if self.maxiter is None else self.maxiter - found.nit - spent
        try:
            end, nit = onward(surface, found.end, left, partial(is_clear, self.model.function))
        except KeyboardInterrupt:
            return replace(found, run=Run(found.run.nit, "interrupted", stopped=True))
        path = found.path if end.value <= found.path[-1] else [*found.path, end.value]
        return replace(found, end=end, nit=found.nit + nit, path=path)

    def _along_the_wall(self, found: Found) -> Found:
        """The maximum of the other parameters, with the one held that leads into rounding.

        As long as it moves as well, it is in the way of their steps.
        """
        x = found.end.x
        moving = np.delete(np.arange(x.size), loudest(self.model.function, x))
        piece = Slice(self.surface, x, moving)
        end = climb(piece, x[moving]) if moving.size else None
        if end is None or not end.value >= found.end.value:
            return found
        return replace(found, end=polish(self.surface, piece.whole(end.x), 0), nit=found.nit + end.steps)

    def _once(self, surface: Surface, start: Array, value: float, maxiter: int | None, scaled: bool) -> Found:
        """The optimiser's run from one start, and Newton's steps."""
        outer = None if self.model.rows is None else self._outer_products
        objective = Objective(surface, start, value, outer, self.watch)
        function = self.model.function
        curved = not scaled and isinstance(function, TracedFunction) and function.has_quick_hessian
        run = optimizers.run(objective, self.optimizer, maxiter, scaled, curved)
        try:
            # Who stops a run wants no more steps, but may see how far it came.
            steps = 0 if run.stopped else NEWTON_STEPS
            end = polish(surface, objective.best_x, steps, objective.at_best)
        except KeyboardInterrupt:
            run = Run(run.nit, "interrupted", stopped=True)
            end = polish(surface, objective.best_x, 0, objective.at_best)
        return Found(end, run, run.nit + end.steps, objective.path)

    def _through(self, phases: Mapping[str, int], path: list[float]) -> tuple[Array, list[float], Run]:
        """All phases but the last: the point where they end, and the last run, or that which was stopped."""
        point, nit = self.model.space.start, 0
        for moving in moving_by_phase(self.model.space, phases):
            piece = Slice(self.surface, point, moving)
            watch = None if self.watch is None else partial(_watch_whole, self.watch, piece)
            outer = None if self.model.rows is None else partial(self._outer_products_of, piece)
            objective = Objective(piece, point[moving], path[-1], outer, watch)
            run = optimizers.run(objective, self.optimizer, self.maxiter)
            nit += run.nit
            point, path = piece.whole(objective.best_x), path[:-1] + objective.path
            if run.stopped:
                return point, path, Run(nit, run.message, stopped=True)
        return point, path, Run(nit, "")

    def _outer_products(self, free: Array) -> Array:
        """The information as BHHH estimates it, with the prior's own where there is one."""
        found = outer_products(self.model, free)
        if self.model.prior is not None:
            found = found - self.model.prior.hessian_flat(free)
        return found if np.isfinite(found).all() else np.eye(free.size)

    def _outer_products_of(self, piece: Slice, moving: Array) -> Array:
        return piece.block(self._outer_products(piece.whole(moving)))


def _watch_whole(watch: Watch, piece: Slice, moving: Array, value: float) -> None:
    watch(piece.whole(moving), value)


def _height(found: Found) -> tuple[bool, float]:
    """A maximum is better than any other end: the value of another end may be on its way to infinity."""
    return found.end.converged, found.end.value


def _note(found: list[Found], best: Found, count: int) -> str:
    """How many of several starts have ended at the best end."""
    if count == 1:
        return ""
    reach = _SAME_VALUE * (1.0 + abs(best.end.value))
    same = sum(one.converged and one.end.value >= best.end.value - reach for one in found)
    missing = f"; {count - len(found)} more were not run" if len(found) < count else ""
    return f"; {same} of {len(found)} starts ended at this maximum{missing}"
