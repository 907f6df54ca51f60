"""Random effects among the arguments of a fit: what cannot be asked of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tapegrad.marginal.division import Division
from tapegrad.mle.model.make_space import Names
from tapegrad.mle.transforms import Transform


def check_random(
    division: Division,
    transforms: Mapping[str, Transform] | Transform | None,
    fixed: Names | Mapping[str, Any],
    tie: Sequence[Names],
    weights: Any,
) -> None:
    """Refuse what is asked of random effects and makes sense for parameters only.

    Raises
    ------
    ValueError
        The message says what to write instead.
    """
    names = transforms if isinstance(transforms, Mapping) else ()
    for name in _random_among(names, division):
        raise ValueError(
            f"transforms: {name} is integrated out over all real numbers. Write the transform in the "
            f"log-likelihood, such as np.exp({name}), and give {name} itself the density"
        )
    for name in _random_among([fixed] if isinstance(fixed, str) else fixed, division):
        raise ValueError(
            f"fixed: {name} is a random effect: fix it, or integrate it out by random=, not both"
        )
    for group in tie:
        for name in _random_among([group] if isinstance(group, str) else group, division):
            raise ValueError(f"tie: {name} is a random effect; let one random effect stand for both")
    if weights is not None:
        raise ValueError(
            "weights= multiplies the log-likelihood of each observation, and the density of a random effect "
            "is none: multiply inside the joint log-likelihood"
        )


def labels_of(params: Any, division: Division) -> dict[str, list[str]]:
    """What whole parameters that are random effects are called, where they were given as a pandas Series
    with an index of names: "u[Oslo]"."""
    found = {}
    for name, given in params.items() if isinstance(params, Mapping) else ():
        if name in division.random_keys and hasattr(given, "to_numpy") and hasattr(given, "index"):
            labels = list(given.index)
            if labels != [*range(len(labels))]:
                found[name] = [f"{name}[{' '.join(str(label).split())}]" for label in labels]
    return found


def _random_among(names: Iterable[str], division: Division) -> list[str]:
    random = {*division.random_names, *division.random_keys}
    return [name for name in names if name in random]
