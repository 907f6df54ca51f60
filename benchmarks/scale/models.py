"""The models, with data that Dask makes where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np
from scipy import special

import tapegrad as tg

COLUMNS: Final = 10


def logistic(b: Any, X: Any, y: Any) -> Any:
    """A logistic regression."""
    eta = X @ b
    return (y * eta - np.logaddexp(0.0, eta)).sum()


def poisson(b: Any, X: Any, y: Any, exposure: Any) -> Any:
    """A Poisson regression with an offset."""
    eta = X @ b + np.log(exposure)
    return (y * eta - np.exp(eta) - special.gammaln(y + 1.0)).sum()


def mixture(a: Any, mu: Any, nu: Any, ls: Any, lt: Any, x: Any) -> Any:
    """Two normal distributions."""
    share = 1.0 / (1.0 + np.exp(-a))
    first = np.log(share) - ls - 0.5 * ((x - mu) / np.exp(ls)) ** 2
    second = np.log1p(-share) - lt - 0.5 * ((x - nu) / np.exp(lt)) ** 2
    return np.logaddexp(first, second).sum()


@dataclass(frozen=True)
class ScaleModel:
    """A model, where it starts, and how a chunk of its data is made of a generator of random numbers."""

    loglik: Callable[..., Any]
    start: dict[str, Any]
    draw: Callable[[Any, int], dict[str, Any]]


def _of_logistic(rng: Any, n: int) -> dict[str, Any]:
    X = rng.normal(size=(n, COLUMNS))
    return dict(X=X, y=(rng.random(n) < special.expit(X[:, 0] - 0.5 * X[:, 1])).astype(float))


def _of_poisson(rng: Any, n: int) -> dict[str, Any]:
    X, exposure = 0.3 * rng.normal(size=(n, COLUMNS)), rng.uniform(0.5, 2.0, n)
    return dict(X=X, y=rng.poisson(exposure * np.exp(X[:, 0])).astype(float), exposure=exposure)


def _of_mixture(rng: Any, n: int) -> dict[str, Any]:
    return dict(x=np.where(rng.random(n) < 0.3, rng.normal(-1.0, 0.7, n), rng.normal(2.0, 1.2, n)))


_MIXTURE_START = dict(a=-0.5, mu=-0.5, nu=1.5, ls=0.0, lt=0.0)
MODELS: Final = {
    "logistic": ScaleModel(logistic, dict(b=np.zeros(COLUMNS)), _of_logistic),
    "poisson": ScaleModel(poisson, dict(b=np.zeros(COLUMNS)), _of_poisson),
    "mixture": ScaleModel(mixture, _MIXTURE_START, _of_mixture),
}


def in_memory(model: ScaleModel, n: int, chunk: int) -> dict[str, Any]:
    """The data in one process; nobody writes to them, so tracing copies nothing."""
    example = model.draw(np.random.default_rng(0), 1)
    found = {name: np.empty((n, *array.shape[1:]), array.dtype) for name, array in example.items()}
    for i, rows in enumerate(lengths(n, chunk)):
        for name, array in model.draw(np.random.default_rng(i), rows).items():
            found[name][i * chunk : i * chunk + rows] = array
    for array in found.values():
        array.flags.writeable = False
    return found


def bytes_of_row(model: ScaleModel) -> int:
    """Bytes of one row of the data."""
    return sum(array.nbytes for array in model.draw(np.random.default_rng(0), 1).values())


def on_workers(model: ScaleModel, n: int, chunk: int) -> dict[str, Any]:
    """The same data, each chunk made by a worker and kept there."""
    dask: Any = import_module("dask")
    da: Any = import_module("dask.array")
    made = [
        dask.delayed(model.draw)(np.random.default_rng(i), rows) for i, rows in enumerate(lengths(n, chunk))
    ]
    made = list(dask.persist(*made))
    example = model.draw(np.random.default_rng(0), 1)
    return {
        name: da.concatenate(
            [
                da.from_delayed(each[name], (rows, *array.shape[1:]), array.dtype)
                for each, rows in zip(made, lengths(n, chunk), strict=True)
            ]
        ).persist()
        for name, array in example.items()
    }


def lengths(n: int, chunk: int) -> list[int]:
    """The rows of each chunk."""
    return [min(chunk, n - start) for start in range(0, n, chunk)]


def traced(model: ScaleModel, data: dict[str, Any]) -> tg.TracedFunction:
    """The model on its data."""
    return tg.trace(model.loglik, model.start, data=data)
