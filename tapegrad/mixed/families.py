"""The families of responses: their links, parameters and densities, as source and as numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from tapegrad.mixed.terms import did_you_mean
from tapegrad.special import expit

Array = np.ndarray[Any, Any]


class Link(NamedTuple):
    """A link function.

    Attributes
    ----------
    inverse : str
        The mean, as source in ``eta``.
    mean : callable
        The same as a function, on tracers as well.
    of : callable
        The link of a mean.
    probabilities : tuple of str
        The logarithms of a probability and of its complement, as source in ``eta``; empty where the mean is
        none.
    """

    inverse: str
    mean: Callable[[Any], Any]
    of: Callable[[Any], Any]
    probabilities: tuple[str, ...] = ()


LINKS: Mapping[str, Link] = {
    "identity": Link("eta", lambda eta: eta, lambda mu: mu),
    "log": Link("np.exp(eta)", np.exp, np.log, ("eta", "np.log(-np.expm1(eta))")),
    "inverse": Link("1.0 / eta", lambda eta: 1.0 / eta, lambda mu: 1.0 / mu),
    "sqrt": Link("eta**2", lambda eta: eta**2, np.sqrt),
    "logit": Link("expit(eta)", expit, special.logit, ("log_expit(eta)", "log_expit(-eta)")),
    "probit": Link("ndtr(eta)", special.ndtr, special.ndtri, ("log_ndtr(eta)", "log_ndtr(-eta)")),
    "cloglog": Link(
        "-np.expm1(-np.exp(eta))",
        lambda eta: -np.expm1(-np.exp(eta)),
        lambda mu: np.log(-np.log1p(-mu)),
        ("np.log(-np.expm1(-np.exp(eta)))", "-np.exp(eta)"),
    ),
}


class Family(NamedTuple):
    """A family of responses.

    Attributes
    ----------
    links : tuple of str
        Those that it may have, the default first.
    density : str
        The log-density as source, in ``y`` (the response), ``mu`` and its own parameter; empty for the
        binomial family, whose source depends on the trials.
    parameter : str or None
        Its own parameter, above 0.
    has : callable
        Which values a response may have.
    wanted : str
        The same in words.
    is_discrete : bool
    near : callable
        Means close to the responses, inside the range of the link.
    draw : callable
        ``draw(rng, mu, parameter, trials)``: responses.
    inside : float
        A value for which the density is finite.
    """

    links: tuple[str, ...]
    density: str
    parameter: str | None
    has: Callable[[Array], Array]
    wanted: str
    is_discrete: bool
    near: Callable[[Array], Array]
    draw: Callable[..., Array]
    inside: float = 1.0


def _counts(y: Array) -> Array:
    return np.asarray((y >= 0.0) & (y == np.floor(y)))


FAMILIES: Mapping[str, Family] = {
    "gaussian": Family(
        ("identity", "log", "inverse"),
        "norm.logpdf(y, mu, sigma)",
        "sigma",
        lambda y: np.isfinite(y),
        "finite numbers",
        False,
        lambda y: y,
        lambda rng, mu, sigma, trials: rng.normal(mu, sigma),
    ),
    "binomial": Family(
        ("logit", "probit", "cloglog", "log"),
        "",
        None,
        lambda y: (y == 0.0) | (y == 1.0),
        "0 or 1, proportions with weights= the numbers of trials, or cbind(successes, failures)",
        True,
        lambda y: 0.25 + 0.5 * y,
        lambda rng, mu, parameter, trials: rng.binomial(trials.astype(np.int64), mu).astype(float),
    ),
    "poisson": Family(
        ("log", "sqrt", "identity"),
        "poisson.logpmf(y, mu)",
        None,
        _counts,
        "counts: whole numbers from 0 on",
        True,
        lambda y: y + 0.1 + 0.1 * np.mean(y),
        lambda rng, mu, parameter, trials: rng.poisson(mu).astype(float),
    ),
    "nbinom2": Family(
        ("log", "sqrt", "identity"),
        "nbinom_mu.logpmf(y, mu, size)",
        "size",
        _counts,
        "counts: whole numbers from 0 on",
        True,
        lambda y: y + 0.1 + 0.1 * np.mean(y),
        lambda rng, mu, size, trials: rng.negative_binomial(size, size / (size + mu)).astype(float),
    ),
    "gamma": Family(
        ("log", "inverse", "identity"),
        "gamma_mean.logpdf(y, mu, shape)",
        "shape",
        lambda y: (y > 0.0) & np.isfinite(y),
        "numbers above 0",
        False,
        lambda y: 0.5 * (y + np.mean(y)),
        lambda rng, mu, shape, trials: rng.gamma(shape, mu / shape),
    ),
    "beta": Family(
        ("logit", "probit", "cloglog"),
        "beta_mean.logpdf(y, mu, phi)",
        "phi",
        lambda y: (y > 0.0) & (y < 1.0),
        "numbers between 0 and 1, without these",
        False,
        lambda y: 0.25 + 0.5 * y,
        lambda rng, mu, phi, trials: rng.beta(mu * phi, (1.0 - mu) * phi),
        inside=0.5,
    ),
}
_OTHER_NAMES = {
    "normal": "gaussian",
    "bernoulli": "binomial",
    "nbinom": "nbinom2",
    "negativebinomial": "nbinom2",
    "beta_family": "beta",
}


def chosen(family: str, link: str | None) -> tuple[str, str]:
    """The names of a family and of its link.

    Raises
    ------
    ValueError
        If there is none.
    """
    name = str(family).lower()
    name = _OTHER_NAMES.get(name, name)
    if name not in FAMILIES:
        raise ValueError(f"family: there is no {family!r}{did_you_mean(name, FAMILIES)}")
    links = FAMILIES[name].links
    if link is None:
        return name, links[0]
    if link not in links:
        raise ValueError(f"link: the family {name} has no {link!r}{did_you_mean(str(link), links)}")
    return name, link
