"""The optimisers and what surrounds them: several starts, callbacks, interrupts, phases, priors, data."""

import importlib
import signal
import sys
import types
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from tapegrad import TracedFunction, trace
from tapegrad.function import derived
from tapegrad.mle import ConvergenceWarning, StandardErrorWarning, bootstrap, fit
from tapegrad.mle.climb import search
from tapegrad.mle.climb.objectives import Objective
from tapegrad.mle.climb.refit import refit
from tapegrad.mle.fit import Iteration
from tapegrad.mle.transforms import interval, positive, unit
from tapegrad.passes import tidy
from tapegrad.stats import bernoulli, norm, poisson

RNG = np.random.default_rng(8)
N = 150
X = RNG.normal(1.0, 2.0, size=N)
DESIGN = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
COUNTS = RNG.poisson(np.exp(DESIGN @ [0.5, 0.4, -0.3])).astype(float)
START = {"mu": 0.0, "log_sigma": 0.0}


def rows(mu: Any, log_sigma: Any) -> Any:
    return norm.logpdf(X, mu, np.exp(log_sigma))


def poisson_rows(beta: Any) -> Any:
    return poisson.logpmf(COUNTS, np.exp(DESIGN @ beta))


# Optimisers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bhhh", "BHHH", "fisher_scoring", "newton", "gradient_descent", "trust"])
def test_every_optimiser_of_ours_finds_the_maximum(method: str) -> None:
    result = fit(rows, START, method)
    assert result.converged
    np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], rtol=1e-8)
    regression = fit(poisson_rows, {"beta": np.zeros(3)}, method)
    assert regression.converged
    np.testing.assert_allclose(DESIGN.T @ (COUNTS - np.exp(DESIGN @ regression.x)), 0.0, atol=1e-8)


def test_bhhh_takes_no_second_derivatives_on_its_way() -> None:
    result = fit(poisson_rows, {"beta": np.zeros(3)}, "bhhh")
    assert result.nhev <= 4  # Newton's steps at the end


def test_newton_converges_in_few_steps_from_a_start_where_the_hessian_is_indefinite() -> None:
    # The published defect: from (0, 0) plain Newton steps run away.
    result = fit(rows, START, "newton")
    assert result.converged
    assert result.nit <= 12
    away = fit(rows, {"mu": 100.0, "log_sigma": -1.0}, "newton")
    np.testing.assert_allclose(away.x, result.x, rtol=1e-8)


COUNTED: list[dict[str, Any]] = [
    {"method": "bfgs"},
    {"method": "newton"},
    {"method": "nelder-mead"},
    {"method": "trust", "n_starts": 4, "seed": 1},
    {"method": "bfgs", "phases": {"log_sigma": 2}, "n_starts": 2, "seed": 1},
]


@pytest.mark.parametrize("options", COUNTED)
def test_all_evaluations_are_counted(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tape = trace(lambda mu, log_sigma: rows(mu, log_sigma).sum(), START)
    counts = dict.fromkeys(("value_flat", "value_and_grad_flat", "hessian_flat"), 0)
    for name in counts:
        plain = getattr(TracedFunction, name)

        def counting(self: Any, x: Any, plain: Any = plain, name: str = name) -> Any:
            counts[name] += 1
            return plain(self, x)

        monkeypatch.setattr(TracedFunction, name, counting)
    result = fit(tape, START, **options)
    assert result.converged
    assert result.nfev == counts["value_flat"] + counts["value_and_grad_flat"]
    assert result.njev == counts["value_and_grad_flat"]
    assert result.nhev == counts["hessian_flat"]


def test_iterations_of_all_starts_and_phases_are_counted() -> None:
    one, many = fit(rows, START), fit(rows, START, n_starts=3, seed=1)
    assert many.nit > 2 * one.nit
    seen: list[Iteration] = []
    phased = fit(rows, START, phases={"log_sigma": 2}, callback=seen.append)
    assert seen[0].params["log_sigma"] == 0.0
    assert phased.nit >= len(seen) > sum(state.params["log_sigma"] == 0.0 for state in seen)
    for result in (one, many, phased):
        assert result.path is not None
        assert np.all(np.diff(result.path) > 0.0)
        np.testing.assert_allclose(result.path[-1], result.llf, rtol=1e-9)
    assert phased.path is not None
    np.testing.assert_allclose(phased.path[0], rows(0.0, 0.0).sum(), rtol=1e-12)


def test_bhhh_counts_weights_as_observations_and_knows_the_prior() -> None:
    # In units of another curvature, its steps would be too long or too short by as much.
    heavy = fit(poisson_rows, {"beta": np.zeros(3)}, "bhhh", weights=np.full(N, 1000.0))
    plain = fit(poisson_rows, {"beta": np.zeros(3)}, "bhhh")
    np.testing.assert_allclose(heavy.x, plain.x, rtol=1e-8)
    assert heavy.path is not None
    assert plain.path is not None
    # The same steps. Standard errors are sqrt(1000) times smaller, so that a few more of them follow.
    count = len(plain.path)
    np.testing.assert_allclose(np.array(heavy.path[:count]) / 1000.0, plain.path, rtol=1e-13)
    assert heavy.nit <= plain.nit + 10
    tight = fit(poisson_rows, {"beta": np.zeros(3)}, "bhhh", logprior=lambda beta: -0.5e4 * (beta @ beta))
    assert tight.converged
    assert tight.nit <= plain.nit + 2


def test_bhhh_takes_no_second_derivatives_in_its_phases_either() -> None:
    result = fit(rows, START, "bhhh", phases={"log_sigma": 2})
    np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], rtol=1e-8)
    assert result.nhev <= 4


def test_units_come_from_the_curvature_at_the_start() -> None:
    # Of a parabola, of a straight line, and of what does nothing.
    tape = trace(lambda theta: -2.0 * theta[0] ** 2 + 3.0 * theta[1] + 0.0 * theta[2], np.zeros(3))
    start = np.array([1.0, 0.0, 5.0])
    objective = Objective(tape, start, -2.0)
    length = objective.take_units()
    units = np.array([0.5, np.sqrt(2.0 / 3.0), 1.0])  # 1 / sqrt(4), and a gain of 3 = 1 + 2 at the most
    np.testing.assert_allclose(length, np.hypot(0.5 * 4.0, 3.0 * units[1]), rtol=1e-12)
    np.testing.assert_array_equal(objective.start, np.zeros(3))
    z = np.array([0.1, -0.2, 0.3])
    value, gradient = objective.value_and_grad(z)
    theirs = tape.value_and_grad_flat(start + length * units * z)
    np.testing.assert_allclose(value, -theirs[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, -theirs[1] * length * units, rtol=1e-12)
    np.testing.assert_allclose(
        np.diag(objective.hessian(z)), [4.0 * (0.5 * length) ** 2, 0.0, 0.0], rtol=1e-12
    )


# Several starts ---------------------------------------------------------------------------------------------


def two_peaks(a: Any) -> Any:
    return np.logaddexp(-((a + 2.0) ** 2), 3.0 - 2.0 * (a - 3.0) ** 2)


def test_several_starts_find_the_higher_of_two_maxima() -> None:
    one = fit(two_peaks, {"a": -2.0})
    many = fit(two_peaks, {"a": -2.0}, n_starts=10, seed=1)
    np.testing.assert_allclose(one.x, -2.0, atol=1e-6)
    np.testing.assert_allclose(many.x, 3.0, atol=1e-6)
    assert many.llf > one.llf
    assert " of 10 starts ended at this maximum" in many.message
    again = fit(two_peaks, {"a": -2.0}, n_starts=10, seed=1)
    np.testing.assert_array_equal(again.x, many.x)


def test_random_starts_keep_to_where_the_log_likelihood_is_finite() -> None:
    result = fit(lambda s: norm.logpdf(X, 1.0, s).sum(), {"s": 0.01}, n_starts=5, seed=3)
    assert result.converged
    assert "of 5 starts" in result.message


def test_random_starts_keep_to_the_constraints() -> None:
    seen: list[Iteration] = []
    result = fit(
        lambda mu, sigma: norm.logpdf(X, mu, sigma),
        {"mu": 0.0, "sigma": 0.1},
        transforms={"sigma": positive, "mu": interval(-3.0, 4.0)},
        n_starts=6,
        seed=4,
        callback=seen.append,
    )
    assert "6 of 6 starts ended at this maximum" in result.message
    np.testing.assert_allclose(result.x, [X.mean(), X.std()], rtol=1e-8)
    assert all(state.params["sigma"] > 0.0 and -3.0 <= state.params["mu"] <= 4.0 for state in seen)


@pytest.mark.parametrize("count", [0, -1, 2.5, "3", None])
def test_the_number_of_starts(count: Any) -> None:
    with pytest.raises(ValueError, match=f"n_starts is a whole number, 1 or more, not {count!r}"):
        fit(rows, START, n_starts=count)


@pytest.mark.parametrize("limit", [-1, 2.5, "3"])
def test_the_limit_on_iterations(limit: Any) -> None:
    with pytest.raises(ValueError, match=f"maxiter is a whole number, 0 or more, not {limit!r}"):
        fit(rows, START, maxiter=limit)


# Watching and stopping --------------------------------------------------------------------------------------

CALLED_BACK = [
    "bfgs",
    "lbfgs",
    "newton",
    "bhhh",
    "trust",
    "gradient_ascent",
    "nelder-mead",
    "cg",
    "slsqp",
    "tnc",
]


@pytest.mark.parametrize("method", [*CALLED_BACK, "powell", "newton-cg", "trust-constr", "cobyla", "cobyqa"])
def test_a_callback_sees_every_iteration_and_stops_the_fit(method: str) -> None:
    seen: list[Iteration] = []

    def callback(state: Iteration) -> None:
        seen.append(state)
        if state.nit == 2:
            raise StopIteration

    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match="stopped early .* by the callback"):
        result = fit(rows, {"mu": 0.0, "log_sigma": 2.0}, method, callback=callback)
    assert not result.converged
    assert [state.nit for state in seen] == [1, 2]
    assert result.llf == seen[-1].llf  # the best so far
    assert result.params == seen[-1].params


def test_a_callback_sees_natural_parameters() -> None:
    seen: list[Iteration] = []
    fit(
        lambda mu, sigma: norm.logpdf(X, mu, sigma),
        {"mu": 0.0, "sigma": 1.0},
        transforms={"sigma": positive},
        callback=seen.append,
    )
    np.testing.assert_allclose(seen[-1].params["sigma"], X.std(), rtol=1e-3)
    assert [state.nit for state in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "newton", "gradient_ascent", "nelder-mead", "tnc"])
def test_an_interrupt_returns_the_best_so_far(method: str) -> None:
    def callback(state: Iteration) -> None:
        if state.nit == 3:
            raise KeyboardInterrupt

    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match="stopped early .* interrupted"):
        result = fit(rows, {"mu": 0.0, "log_sigma": 2.0}, method, callback=callback, n_starts=3, seed=1)
    assert not result.converged
    assert result.nit == 3
    assert result.llf > rows(0.0, 2.0).sum()
    assert "NOT CONVERGED" in str(result)


class LaterStart:
    """A callback that raises in the third of several starts."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.numbers: list[int] = []
        self.starts = 1
        self.best = -np.inf

    def __call__(self, state: Iteration) -> None:
        self.numbers.append(state.nit)
        self.starts += state.llf < self.best  # begun anew
        self.best = state.llf
        if self.starts == 3:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration])
def test_who_stops_a_later_start_gets_the_best_so_far_marked_as_not_converged(
    error: type[BaseException],
) -> None:
    callback = LaterStart(error)
    with pytest.warns(ConvergenceWarning, match="not converged: stopped early") as caught:
        result = fit(rows, START, callback=callback, n_starts=6, seed=1)
    assert not result.converged
    assert "2 of 3 starts ended at this maximum; 3 more were not run" in str(caught[0].message)
    np.testing.assert_allclose(result.x, fit(rows, START).x, rtol=1e-8)
    assert np.isfinite(result.bse).all()
    assert callback.numbers == list(range(1, len(callback.numbers) + 1))
    assert len(callback.numbers) < result.nit <= len(callback.numbers) + 20


def test_an_interrupt_between_two_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(surface: Any, first: Any, value: float, count: int, seed: int | None) -> Any:
        yield first, value
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "starts", interrupted)
    with pytest.warns(ConvergenceWarning, match=r"stopped early .* interrupted\); 1 of 1 starts"):
        result = fit(rows, START, n_starts=3)
    assert not result.converged
    np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], rtol=1e-8)


def test_a_true_ctrl_c() -> None:
    def callback(state: Iteration) -> None:
        if state.nit == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match="stopped early .* interrupted"):
        result = fit(rows, {"mu": 0.0, "log_sigma": 2.0}, callback=callback)
    assert not result.converged
    assert result.nit == 2


@pytest.mark.parametrize("method", ["bfgs", "newton", "nelder-mead", "cobyla", "trust"])
def test_an_interrupt_in_the_middle_of_an_evaluation(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def interrupting(plain: Any) -> Any:
        def method(self: Any, x: Any) -> Any:
            nonlocal count
            count += 1
            if count == 8:
                raise KeyboardInterrupt
            return plain(self, x)

        return method

    monkeypatch.setattr(TracedFunction, "value_flat", interrupting(TracedFunction.value_flat))
    monkeypatch.setattr(
        TracedFunction, "value_and_grad_flat", interrupting(TracedFunction.value_and_grad_flat)
    )
    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match="stopped early .* interrupted"):
        result = fit(rows, {"mu": 0.0, "log_sigma": 2.0}, method)
    assert not result.converged
    assert result.path is not None
    assert result.llf == result.path.max() > rows(0.0, 2.0).sum() - 1e-9
    assert 0 < result.nit < 8


def test_an_interrupt_of_the_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    polish = search.polish

    def interrupted(surface: Any, x: Any, limit: int, known: Any) -> Any:
        if limit:
            raise KeyboardInterrupt
        return polish(surface, x, limit, known)

    monkeypatch.setattr(search, "polish", interrupted)
    with pytest.warns(ConvergenceWarning, match="stopped early .* interrupted"):
        result = fit(rows, START)
    assert not result.converged
    np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], atol=1e-4)


def test_an_interrupt_in_an_early_phase_ends_the_fit() -> None:
    def callback(state: Iteration) -> None:
        raise KeyboardInterrupt

    with pytest.warns((ConvergenceWarning, StandardErrorWarning), match="stopped early .* interrupted"):
        result = fit(rows, START, phases={"log_sigma": 2}, callback=callback)
    assert not result.converged
    assert result.params["log_sigma"] == 0.0


def test_plain_progress_without_tqdm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.import_module

    def without(name: str, package: str | None = None) -> types.ModuleType:
        if name == "tqdm.auto":
            raise ImportError(name)
        return find(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    result = fit(rows, START, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("fit rows: 1 log-likelihood -")
    assert lines[-1].endswith("done")
    assert result.converged


def test_progress_with_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Bar:
        def __init__(self, total: int | None, desc: str) -> None:
            seen.append((total, desc))

        def set_postfix_str(self, text: str, refresh: bool) -> None:
            seen.append(text)

        def update(self) -> None:
            seen.append("update")

        def close(self) -> None:
            seen.append("close")

    tqdm = types.ModuleType("tqdm.auto")
    tqdm.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    fit(rows, START, progress=True)
    assert seen[0] == (None, "fit rows")
    assert seen[1].startswith("log-likelihood -")
    assert seen[2] == "update"
    assert seen[-1] == "close"


def test_progress_with_the_real_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    result = fit(rows, START, progress=True)
    shown = capsys.readouterr().err
    assert "fit rows" in shown
    assert "log-likelihood -" in shown
    assert result.converged


# Phases -----------------------------------------------------------------------------------------------------


def test_phases_end_where_a_plain_fit_does() -> None:
    seen: list[Iteration] = []
    result = fit(rows, START, phases={"log_sigma": 2}, callback=seen.append)
    np.testing.assert_allclose(result.x, fit(rows, START).x, rtol=1e-9)
    held = [state.params["log_sigma"] for state in seen]
    assert held[0] == 0.0  # not estimated yet
    first = next(i for i, value in enumerate(held) if value != 0.0)
    np.testing.assert_allclose(seen[first - 1].params["mu"], X.mean(), rtol=1e-3)


def test_phases_of_elements_and_of_transformed_parameters() -> None:
    def loglik(beta: Any, shape: Any) -> Any:
        return poisson.logpmf(COUNTS, shape * np.exp(DESIGN[:, 1:] @ beta))

    start = {"beta": np.zeros(2), "shape": 1.0}
    plain = fit(loglik, start, transforms={"shape": positive})
    for method in ("bfgs", "newton", "bhhh"):
        result = fit(
            loglik,
            start,
            method,
            transforms={"shape": positive},
            phases={"beta[1]": 3, "beta[0]": 2, "shape": 1},
        )
        np.testing.assert_allclose(result.x, plain.x, rtol=1e-7)


def test_phases_that_are_none() -> None:
    with pytest.raises(ValueError, match="'tau' is no parameter with a coordinate of its own; these are: mu"):
        fit(rows, START, phases={"tau": 2})
    with pytest.raises(ValueError, match="mu must begin in phase 1, 2 and so on, not 0"):
        fit(rows, START, phases={"mu": 0})
    with pytest.raises(ValueError, match="no parameter begins in phase 1"):
        fit(rows, START, phases={"mu": 2, "log_sigma": 3})
    with pytest.raises(ValueError, match="'mu' is no parameter with a coordinate of its own"):
        fit(rows, START, phases={"mu": 2}, fixed="mu")


# Priors -----------------------------------------------------------------------------------------------------


def test_a_normal_prior_in_closed_form() -> None:
    def prior(mu: Any) -> Any:
        return norm.logpdf(mu, -3.0, 0.5)

    result = fit(lambda mu: norm.logpdf(X, mu, 2.0).sum(), {"mu": 0.0}, logprior=prior)
    precision = N / 4.0 + 1.0 / 0.25
    np.testing.assert_allclose(result.x, (X.sum() / 4.0 - 3.0 / 0.25) / precision, rtol=1e-10)
    np.testing.assert_allclose(result.bse, 1.0 / np.sqrt(precision), rtol=1e-10)
    np.testing.assert_allclose(result.llf, norm.logpdf(X, result.x[0], 2.0).sum(), rtol=1e-12)  # without it


def test_a_beta_prior_adds_to_the_counts() -> None:
    heads = np.array([1.0] * 9 + [0.0])
    result = fit(
        lambda p: bernoulli.logpmf(heads, p),
        {"p": 0.5},
        transforms={"p": unit},
        logprior=lambda p: 2.0 * np.log(p) + 3.0 * np.log(1.0 - p),
    )
    # The prior is one of p, not of logit(p): no Jacobian comes in, and the mode is (9 + 2) / (10 + 5).
    np.testing.assert_allclose(result.params["p"], 11.0 / 15.0, rtol=1e-9)


def test_a_ridge_penalty_settles_separation() -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    y = (x > 0.0).astype(float)

    def loglik(slope: Any) -> Any:
        return bernoulli.logpmf(y, expit(slope * x)).sum()

    result = fit(loglik, {"slope": 0.0}, logprior=lambda slope: -0.5 * slope**2)
    assert result.converged
    np.testing.assert_allclose((x * (y - expit(result.x[0] * x))).sum(), result.x[0], rtol=1e-9)


def test_a_prior_must_be_one_number_and_finite_at_the_start() -> None:
    with pytest.raises(ValueError, match="logprior must return one number"):
        fit(rows, START, logprior=lambda mu, log_sigma: np.stack([mu, log_sigma]))
    with pytest.raises(ValueError, match="log-likelihood plus log-prior is nan at the start"):
        fit(rows, START, logprior=lambda mu, log_sigma: np.log(mu - 1.0))


# Data -------------------------------------------------------------------------------------------------------


def with_data(mu: Any, log_sigma: Any, y: Any) -> Any:
    return norm.logpdf(y, mu, np.exp(log_sigma))


def test_data_can_be_rebound() -> None:
    result = fit(with_data, START, data={"y": X})
    np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], rtol=1e-9)
    assert result.nobs == N
    other = RNG.normal(size=N)
    assert result._model is not None
    moved = refit(result._model.with_data(y=other), result.x)
    assert moved.converged
    np.testing.assert_allclose(moved.free, [other.mean(), np.log(other.std())], rtol=1e-8)
    np.testing.assert_allclose(moved.llf, with_data(*moved.free, other).sum(), rtol=1e-12)


def test_data_that_is_not_there() -> None:
    result = fit(rows, START)
    assert result._model is not None
    with pytest.raises(ValueError, match=r"no data to replace: pass it as fit\(loglik, params, data="):
        result._model.with_data(y=X)
    with pytest.raises(ValueError, match="no data: y has no elements"):
        fit(with_data, START, data={"y": X[:0]})
    with pytest.raises(
        TypeError, match=r"data is a dict of arrays by name, such as dict\(x=x\), or a table, not a list"
    ):
        fit(with_data, START, data=[X])  # type: ignore[arg-type]
    bound = fit(with_data, START, data={"y": X})
    assert bound._model is not None
    with pytest.raises(ValueError, match="trace anew for data of another size"):
        bound._model.with_data(y=X[:3])


@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize("transforms", [{}, {"sigma": positive}])
def test_a_traced_function_keeps_its_data_replaceable(by_rows: bool, transforms: dict[str, Any]) -> None:
    def loglik(mu: Any, sigma: Any, y: Any) -> Any:
        values = norm.logpdf(y, mu, sigma)
        return values if by_rows else values.sum()

    start = {"mu": 0.0, "sigma": 1.0}
    traced = trace(loglik, start, data={"y": X})
    result = fit(traced, start, transforms=transforms)
    np.testing.assert_allclose(result.x, [X.mean(), X.std()], rtol=1e-9)
    other = RNG.normal(size=N)
    again = fit(traced, start, transforms=transforms, data={"y": other})
    np.testing.assert_allclose(again.x, [other.mean(), other.std()], rtol=1e-9)
    assert result._model is not None
    np.testing.assert_allclose(
        refit(result._model.with_data(y=other), result._model.space.start).llf, again.llf, rtol=1e-12
    )
    plain = fit(loglik, start, transforms=transforms, data={"y": X})

    def simulate(params: Any, rng: np.random.Generator) -> dict[str, Any]:
        return {"y": rng.normal(params["mu"], params["sigma"], size=N)}

    draws = [bootstrap(r, 20, kind="parametric", simulate=simulate, seed=2).draws for r in (result, plain)]
    np.testing.assert_allclose(*draws, rtol=1e-8)
    if by_rows:
        draws = [bootstrap(r, 20, seed=2).draws for r in (result, plain)]
        np.testing.assert_allclose(*draws, rtol=1e-8)


def test_a_traced_function_with_data_takes_its_branches_anew() -> None:
    y = np.array([-3.0, 0.1, 0.2, 0.4, 0.9, 7.0])

    def huber(mu: Any, y: Any) -> Any:
        total = 0.0
        for i in range(6):
            r = y[i] - mu
            total = total - (0.5 * r * r if abs(r) < 1.0 else abs(r) - 0.5)
        return total

    traced = trace(huber, {"mu": 4.0}, data={"y": y})
    result = fit(traced, {"mu": 4.0}, transforms={"mu": positive})
    np.testing.assert_allclose(result.x, 0.4, rtol=1e-8)
    assert result._model is not None
    moved = result._model.with_data(y=3.0 * y[::-1])
    for mu in (0.1, 1.0, 5.0):
        np.testing.assert_allclose(
            moved.function.value_flat(np.log([mu])), huber(mu, 3.0 * y[::-1]), rtol=1e-12
        )


def test_data_that_a_traced_function_does_not_have() -> None:
    traced = trace(with_data, START, data={"y": X})
    with pytest.raises(ValueError, match=r"\['x'\] is not data of this function; its data are \['y'\]"):
        fit(traced, START, data={"x": X})


# Refits -----------------------------------------------------------------------------------------------------


def test_refits_hold_coordinates() -> None:
    result = fit(rows, START)
    model = result._model
    assert model is not None
    held = refit(model, result.x, {0: 2.0})
    assert held.converged
    assert held.free[0] == 2.0
    np.testing.assert_allclose(held.free[1], 0.5 * np.log(np.mean((X - 2.0) ** 2)), rtol=1e-8)
    np.testing.assert_allclose(held.llf, rows(*held.free).sum(), rtol=1e-12)
    far = refit(model, np.array([-30.0, 5.0]))
    np.testing.assert_allclose(far.free, result.x, rtol=1e-7)
    both = refit(model, result.x, {0: 2.0, 1: 0.5})
    assert both.converged
    assert both.free.tolist() == [2.0, 0.5]
    np.testing.assert_allclose(both.llf, rows(2.0, 0.5).sum(), rtol=1e-12)


def test_a_refit_from_nowhere_is_not_converged() -> None:
    result = fit(lambda mu, sigma: norm.logpdf(X, mu, sigma), {"mu": 0.0, "sigma": 1.0})
    assert result._model is not None
    nowhere = refit(result._model, np.array([0.0, -1.0]))
    assert not nowhere.converged
    assert nowhere.free.tolist() == [0.0, -1.0]


# Where it arises --------------------------------------------------------------------------------------------


def test_a_start_that_is_not_finite_is_explained() -> None:
    data = X.copy()
    data[7] = np.nan
    with pytest.raises(ValueError, match=r"nan at the start \(mu=0, sigma=1\)") as told:
        fit(lambda mu, sigma: norm.logpdf(data, mu, sigma), {"mu": 0.0, "sigma": 1.0})
    assert "the data data holds 1 NaN" in str(told.value)
    with pytest.raises(ValueError, match="log-likelihood is nan at the start") as told:
        fit(lambda mu, sigma: norm.logpdf(X, mu, np.log(sigma)), {"mu": 0.0, "sigma": -1.0})
    assert "log(sigma) at" in str(told.value)
    assert "test_fit_options.py" in str(told.value)


@pytest.mark.parametrize(
    "options",
    [{}, {"transforms": {"mu": interval(-1.0, 1.0)}}, {"fixed": "mu"}, {"logprior": lambda mu, v: -(mu**2)}],
)
@pytest.mark.parametrize("by_rows", [True, False])
def test_a_gradient_that_is_not_finite_at_the_start_is_explained(
    by_rows: bool, options: dict[str, Any]
) -> None:
    def loglik(mu: Any, v: Any) -> Any:
        shift = np.sqrt(v)  # this line
        values = norm.logpdf(X, mu + shift, 1.0)
        return values if by_rows else values.sum()

    with pytest.raises(ValueError, match=r"gradient .* not finite at the start \(mu=0, v=0\) in v:") as told:
        fit(loglik, {"mu": 0.0, "v": 0.0}, **options)
    assert "carried back through sqrt(v) at" in str(told.value)
    assert "test_fit_options.py" in str(told.value)
    assert "shift = np.sqrt(v)  # this line" in str(told.value)


@pytest.mark.parametrize("options", [{}, {"transforms": {"sigma": positive}}, {"fixed": "mu"}])
def test_a_second_fit_of_a_traced_function_derives_nothing(
    options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(2).normal(1.0, 2.0, 200)

    def rows(mu: Any, sigma: Any) -> Any:
        return -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma)

    traced = trace(rows, {"mu": 0.5, "sigma": 1.0})
    first = fit(traced, {"mu": 0.5, "sigma": 1.0}, cov_type="HC0", **options)
    first.conf_int(method="profile")
    tidied: list[str] = []
    monkeypatch.setattr(derived, "tidy", lambda tape, passes: tidied.append(tape.name) or tidy(tape, passes))
    second = fit(traced, {"mu": 0.5, "sigma": 1.5}, cov_type="opg", **options)
    second.conf_int(method="profile")
    assert "rows" not in tidied  # the map of the transforms is a function of its own
    np.testing.assert_allclose(second.x, first.x, rtol=1e-8)


def test_fits_of_a_traced_function_do_not_take_one_another_for_theirs() -> None:
    x = np.random.default_rng(2).normal(1.0, 2.0, 200)
    traced = trace(
        lambda mu, sigma: -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma), {"mu": 0.5, "sigma": 1.0}
    )
    start = {"mu": 0.5, "sigma": 1.0}
    for held in (0.0, 1.0):
        found = fit(traced, start, fixed={"mu": held}, transforms={"sigma": positive})
        np.testing.assert_allclose(found.params["sigma"], np.sqrt(np.mean((x - held) ** 2)), rtol=1e-8)
    for weights in (np.ones(200), np.repeat([1.0, 2.0], 100)):
        found = fit(traced, start, weights=weights)
        np.testing.assert_allclose(found.params["mu"], np.average(x, weights=weights), rtol=1e-8)
