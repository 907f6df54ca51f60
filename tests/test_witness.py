"""What a tape is held against: plain calls at two places, and programs against what they were made of."""

from __future__ import annotations

import functools
import inspect
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.backends.interpreter import Replayed
from tapegrad.backends.programs import BACKENDS
from tapegrad.function import running
from tapegrad.function import trace as entry
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.derived import DERIVED, GRADIENT, HVP, VALUE
from tapegrad.function.trials import Trial
from tapegrad.ops.elementwise import mul
from tapegrad.passes import PASSES
from tapegrad.passes.simplify import Rewriter
from tapegrad.tape.entries import Entry

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.2]])
Y = np.array([1.0, 2.0, 3.0])
W = np.array([0.3, 0.4])
TILT = np.array([0.2, -0.1])


def slope(w: Any) -> Any:
    """The gradient of what all `Remembering` functions mean."""
    return -2.0 * X.T @ (Y - X @ w) + TILT


# Functions that remember ------------------------------------------------------------------------------------


class Remembering:
    """A sum of squares that is computed again where `changed` says that the parameters have moved."""

    def __init__(self, changed: Any) -> None:
        self.changed = changed
        self.last: Any = None

    def __call__(self, w: Any) -> Any:
        if self.last is None or self.changed(w, self.last):
            self.rss = ((Y - X @ w) ** 2).sum()
            self.last = w
        return self.rss + (TILT * w).sum()


def by_elements(w: Any, last: Any) -> bool:
    return any(a != b for a, b in zip(w, last, strict=True))


CHANGES = {
    "all equal": lambda w, last: not (w == last).all(),
    "any unequal": lambda w, last: (w != last).any(),
    "array_equal": lambda w, last: not np.array_equal(w, last),
    "allclose": lambda w, last: not np.allclose(w, last),
    "distance": lambda w, last: np.abs(w - last).max() > 1e-6,
    "element by element": by_elements,
    "lists": lambda w, last: list(w) != list(last),
    "a key": lambda w, last: 2.0 * w[0] + w[1] != 2.0 * last[0] + last[1],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_function_that_has_nothing_to_skip_yet_is_right(name: str) -> None:
    """It does all its work in the trace, and what it keeps of that becomes plain."""
    f = Remembering(CHANGES[name])
    traced = tg.trace(f, W)
    for w in (W, W + 1.0, W):
        np.testing.assert_allclose(traced.grad(w), slope(w), rtol=1e-13)
        np.testing.assert_allclose(traced.hessian(w), 2.0 * X.T @ X, rtol=1e-13)
        assert traced(w) == pytest.approx(f(w), rel=1e-13)
    assert type(f.last) is np.ndarray


@pytest.mark.parametrize("calls_before", [1, 2])
@pytest.mark.parametrize("name", CHANGES)
def test_a_function_that_skips_its_work_where_nothing_has_changed(name: str, calls_before: int) -> None:
    changed = CHANGES[name]
    f = Remembering(changed)
    for _ in range(calls_before):
        f(W.copy())
    with pytest.raises(tg.TraceError, match="a traced value of another trace was used") as told:
        tg.trace(f, W)
    code = getattr(changed, "__code__", None)
    assert f"{__file__}:{code.co_firstlineno}" in str(told.value) or name == "element by element"
    assert "kept in a global, a list or an attribute" in str(told.value)


@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_function_that_remembers_the_very_array(calls_before: int) -> None:
    f = Remembering(lambda w, last: w is not last)
    for _ in range(calls_before):
        f(W)
    traced = tg.trace(f, W)
    for w in (W, W + 1.0):
        np.testing.assert_allclose(traced.grad(w), slope(w), rtol=1e-13)


def test_what_is_kept_in_a_table_by_its_value() -> None:
    table: dict[Any, Any] = {}

    def by_tuple(w: Any) -> Any:
        key = tuple(w)
        if key not in table:  # here
            table[key] = (w**2).sum()
        return table[key]

    def by_bytes(w: Any) -> Any:
        key = w.tobytes()  # here
        if key not in table:
            table[key] = (w**2).sum()
        return table[key]

    @functools.lru_cache
    def cached(a: Any) -> Any:
        return a * a

    def by_cache(w: Any) -> Any:
        return cached(w[0]) + cached(w[1])  # here

    for f in (by_tuple, by_bytes, by_cache):
        f(W)
        lines, first = inspect.getsourcelines(f)
        (here,) = (first + i for i, line in enumerate(lines) if "# here" in line)
        with pytest.raises(tg.TraceError, match="does not take traced ones") as told:
            tg.trace(f, W)
        assert f"{__file__}:{here}" in str(told.value)


# Branches that hold at single points ------------------------------------------------------------------------


def box_cox(lam: Any) -> Any:
    if lam == 0.0:
        return np.log(Y).sum()
    return ((Y**lam - 1.0) / lam).sum()


def gev(xi: Any) -> Any:
    if abs(xi) < 1e-6:
        return -np.exp(-Y).sum()
    return -((1.0 + xi * Y) ** (-1.0 / xi)).sum()


@pytest.mark.parametrize("f", [box_cox, gev])
def test_a_start_on_a_branch_that_holds_there_alone(f: Any) -> None:
    traced = tg.trace(f, 0.0)
    assert traced(0.0) == f(0.0)
    assert traced(0.3) == pytest.approx(f(0.3), rel=1e-14)
    h = 1e-5
    assert traced.grad(0.3) == pytest.approx((f(0.3 + h) - f(0.3 - h)) / (2.0 * h), rel=1e-8)
    assert traced(0.0) == f(0.0)
    with pytest.warns(tg.BranchWarning, match="not of the function around it") as told:
        traced.grad(0.0)
    assert f"{__file__}:{f.__code__.co_firstlineno + 1}" in str(told[0].message)
    traced.grad(0.0)  # it has been said


@pytest.mark.parametrize("f", [box_cox, gev])
def test_a_branch_met_later_that_holds_there_alone(f: Any) -> None:
    traced = tg.trace(f, 0.3)
    assert traced(0.0) == f(0.0)
    with pytest.warns(tg.BranchWarning):
        traced.hessian(0.0)


def test_an_equality_that_does_not_rest_on_parameters() -> None:
    def f(a: Any, n: Any) -> Any:
        return a * 2.0 if n == 3.0 else a * 3.0

    traced = tg.trace(f, dict(a=0.0), data=dict(n=3.0))
    assert traced.grad([0.0]) == {"a": 2.0}
    assert tg.trace(lambda a: a * (2.0 if round(a) == 0 else 3.0), 0.0).grad(0.0) == 2.0


def test_a_tie_has_a_side_that_holds() -> None:
    assert tg.trace(lambda a, b: max(a, b), dict(a=1.0, b=1.0)).grad([1.0, 1.0]) == {"a": 1.0, "b": 0.0}
    traced = tg.trace(lambda x: x * 2.0 if x > 0.0 else -x, 0.0)
    assert (traced.grad(0.0), traced.grad(1.0)) == (-1.0, 2.0)

    def ordered(v: Any) -> Any:
        return sum(k * x for k, x in enumerate(sorted(v)))

    np.testing.assert_array_equal(tg.trace(ordered, np.zeros(6)).grad(np.zeros(6)), np.arange(6.0))


def test_no_second_look_no_tape() -> None:
    def f(a: Any) -> Any:
        k = int(a * 1e14)
        return a * k

    with pytest.raises(tg.TraceError, match="goes another way at each place near") as told:
        tg.trace(f, 0.3)
    assert f"{__file__}:{f.__code__.co_firstlineno + 1}" in str(told.value)


def test_a_function_that_takes_one_place_only() -> None:
    def f(a: Any) -> Any:
        if a != 1.0:
            raise ValueError("not here")
        return a

    with pytest.raises(
        tg.TraceError, match=r"raises ValueError near .* \(not here\).* may move by themselves"
    ):
        tg.trace(f, 1.0)

    def shares(w: Any) -> Any:
        if not np.isclose(w.sum(), 1.0):
            raise ValueError("shares must add up to 1")
        return np.log(w).sum()

    with pytest.raises(tg.TraceError, match=r"\(shares must add up to 1\), where the branch at .*isclose"):
        tg.trace(shares, np.array([0.5, 0.5]))
    plain = Remembering(lambda w, last: True)

    def g(w: Any) -> Any:
        if type(w) is np.ndarray and not np.array_equal(w, W):
            raise ValueError("nor here")
        return plain(w)

    with pytest.raises(tg.TraceError, match=r"raises ValueError wherever .* \(nor here\)"):
        tg.trace(g, W)


def test_a_look_to_the_other_side_where_one_is_outside() -> None:
    def f(a: Any) -> Any:
        if isinstance(a, float) and a > 1.0:
            raise ValueError("outside")
        return np.sqrt(1.0 - a)

    assert tg.trace(f, 1.0)(0.75) == 0.5


# Next to the terms that were added --------------------------------------------------------------------------


def test_python_adds_with_compensation_and_a_tape_as_numpy_does() -> None:
    def f(a: Any) -> Any:
        return sum([a * v for v in [1e16, 1.0, -1e16]])

    traced = tg.trace(f, 1.0)
    assert traced(1.0) == f(np.float64(1.0)) == 0.0  # NumPy's numbers are added one after the other
    assert f(1.0) == (1.0 if sys.version_info >= (3, 12) else 0.0)
    assert abs(traced(1.0) - 1.0) <= 2.0**-53 * sum(abs(v) for v in [1e16, 1.0, -1e16])
    numbers = np.random.default_rng(0).normal(size=1000).tolist()
    terms = sum(abs(Fraction(v)) for v in numbers)
    error = abs(
        Fraction(tg.trace(lambda a: sum(a * v for v in numbers), 1.0)(1.0)) - sum(map(Fraction, numbers))
    )
    assert error <= 1000 * Fraction(1, 2**53) * terms


def test_a_small_value_is_no_excuse() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(tg.ReplayError, match="differs from call to call"):
        tg.trace(lambda a: a * 1e-12 * rng.normal(), 1.0)
    with pytest.raises(tg.ReplayError, match="differs from call to call"):
        tg.trace(lambda a: 1.0 + a * 1e-8 * rng.normal(), 1.0)


def test_a_difference_within_rounding_of_the_terms() -> None:
    def f(a: Any) -> Any:  # one way on tracers, another on numbers
        one, small = 1.0001 * a, 1e-3 * a
        large = 1e13 * a
        return (
            (one + large) - large
            if isinstance(a, float) and not hasattr(a, "recorder")
            else one + (large - large) + small - small
        )

    assert tg.trace(f, 1.0)(1.0) == pytest.approx(1.0001, rel=1e-15)
    assert abs(f(1.0) - 1.0001) > 1e-5
    with pytest.raises(tg.ReplayError, match="test the type"):
        tg.trace(lambda a: a * (1.0 + 1e-8 * hasattr(a, "recorder")), 1.0)


def test_sizes_are_the_terms_without_their_signs() -> None:
    def f(a: Any, v: Any) -> Any:
        return (1e16 * a + 1.0) - 1e16 * a, v - v[::-1], v @ X.T, np.where(v > 0.4, np.log(v - 0.4), 0.0)

    tape = tg.trace(f, dict(a=1.0, v=np.array([0.5, -0.4]))).tape
    cancelled, differences, products, chosen = sizes_of(tape, np.array([1.0, 0.5, -0.4]), [])
    assert 2e16 < cancelled < 2e17
    assert (differences >= 0.9).all()
    assert (differences < 10.0).all()
    assert (products >= np.abs(X) @ [0.5, 0.4]).all()
    assert np.isfinite(chosen).all()  # what was not chosen has no size
    assert chosen[1] == 0.0


def test_what_is_infinite_has_to_be_infinite() -> None:
    def never() -> Any:
        raise AssertionError

    assert differing([np.inf, np.nan, 1.0], [np.inf, np.nan, 1.0 + 1e-12], never) is None
    sizes = [1.0, 1.0, 1.0]
    assert differing([1.0, np.inf], [1.0, -np.inf], lambda: sizes) == 1
    assert differing([np.nan], [1.0], lambda: [np.inf]) == 0
    assert differing([1.0], [np.nan], lambda: sizes) == 0
    assert differing([1.0], [np.nan], lambda: sizes, only_finite=True) is None
    assert differing([1.0], [np.ones(2)], lambda: sizes) == 0
    assert differing([0.0], [1.0], lambda: [1e16]) is None


# Programs ---------------------------------------------------------------------------------------------------


def spoiling(kind: Any) -> Any:
    """A pass that makes the last output of a tape wrong by a millionth where `kind` says so."""

    def spoilt(tape: tg.Tape) -> tg.Tape:
        if not kind(tape):
            return tape
        w = Rewriter(tape)
        for made in tape.entries:
            w.new[made.output] = w.emit(made, made.op, tuple(w.new[s] for s in made.inputs), made.attrs)
        *others, last = (w.new[slot] for slot in tape.outputs)
        wrong = w.rewrite(Entry(mul, (last, w.constant(1.0 + 1e-6)), -1, (), None))
        return w.builder.finish((*others, wrong))

    return spoilt


def rss(w: Any) -> Any:
    return ((Y - X @ w) ** 2).sum() + np.exp(w[0])


@pytest.mark.parametrize("backend", ["numpy", "replay"])
def test_a_pass_that_spoils_the_value(monkeypatch: Any, backend: str) -> None:
    monkeypatch.setattr(entry, "PASSES", (*PASSES, spoiling(lambda tape: len(tape.outputs) == 1)))
    traced = tg.trace(rss, W, backend=backend)
    for use in (traced, traced.grad, traced.hessian, traced.value_flat, traced.value_and_grad_flat):
        with pytest.raises(tg.ReplayError, match="the tape of rss loses digits"):
            use(W)


def test_a_pass_that_spoils_the_gradient(monkeypatch: Any) -> None:
    monkeypatch.setattr(entry, "PASSES", (*PASSES, spoiling(lambda tape: len(tape.outputs) == 2)))
    traced = tg.trace(rss, W)
    assert traced(W) == pytest.approx(rss(W))
    with pytest.raises(tg.ReplayError, match="its gradient is"):
        traced.grad(W)


@pytest.mark.parametrize("kind", ["hessian", "hvp", "third", "jvp", "vjp", "jacobian"])
def test_a_backend_that_spoils_a_derivative(monkeypatch: Any, kind: str) -> None:
    traced = tg.trace(rss if kind in ("hessian", "hvp", "third") else lambda w: np.exp(X @ w), W)
    sound = traced._router.current.programs.finished(DERIVED[kind])[1]
    spoilt = spoiling(lambda tape: True)(sound)
    monkeypatch.setitem(BACKENDS, "numpy", lambda tape, late, threads: Replayed(spoilt, late))
    with pytest.raises(tg.ReplayError, match=f"its {kind} is"):
        traced._router.current.executable(DERIVED[kind])
    monkeypatch.undo()
    traced._router.current.programs._made.clear()
    traced._router.current.executable(DERIVED[kind])


def test_other_data_are_served_by_a_program_that_was_held_against_the_first(monkeypatch: Any) -> None:
    traced = tg.trace(lambda w, y: ((y - X @ w) ** 2).sum(), dict(w=W), data=dict(y=Y))
    twin = traced.with_data(y=2.0 * Y)
    finishing = (*running.FINISHING, spoiling(lambda tape: True))
    monkeypatch.setattr(running, "FINISHING", finishing)
    with pytest.raises(tg.ReplayError, match="its value is"):
        twin(dict(w=W))


def test_a_program_is_tried_once(monkeypatch: Any) -> None:
    tried: list[str] = []
    close = Trial.close
    monkeypatch.setattr(Trial, "close", lambda trial, kind: (tried.append(kind.name), close(trial, kind)))
    traced = tg.trace(rss, W)
    for _ in range(3):
        traced(W)
        traced.grad(W)
        traced.hvp(W, W)
    assert sorted(tried) == ["gradient", "hvp", "value"]
    assert traced._router.current.tapes.trial.passed == {VALUE, GRADIENT, HVP}


def test_tapes_before_the_passes_are_kept_until_their_programs_have_passed() -> None:
    traced = tg.trace(rss, W)
    tapes = traced._router.current.tapes
    assert tapes[HVP].parameters
    assert set(tapes.trial.made) == {HVP}
    traced.hvp(W, W)
    assert not tapes.trial.made


def test_long_results_of_plain_calls_are_not_kept() -> None:
    traced = tg.trace(lambda w: X @ w, W)
    traced(W)
    assert [look.values for look in traced._router.current.tapes.trial.looks] == [[], []]
    np.testing.assert_allclose(traced.jacobian(W), X)


def test_programs_of_functions_that_lose_all_digits_pass() -> None:
    def chaotic(a: Any) -> Any:
        x = a
        for _ in range(120):
            x = 3.99 * x * (1.0 - x)
        return x

    traced = tg.trace(chaotic, 0.3)
    traced(0.3), traced.grad(0.3), traced.hessian(0.3)

    def cancelling(a: Any) -> Any:
        return (((Y + 1e9) - (a + 1e9)) ** 2).sum() - ((Y - a) ** 2).sum()

    traced = tg.trace(cancelling, 0.1)
    traced(0.1), traced.grad(0.1), traced.hessian(0.1)


@pytest.mark.parametrize("log_noise", [-4.0, -20.0, -27.0])
@pytest.mark.parametrize("by_factor", [True, False])
def test_programs_of_nearly_singular_matrices_pass(log_noise: float, by_factor: bool) -> None:
    t = np.linspace(0.0, 1.0, 40)
    z = np.sin(6.0 * t)

    def process(log_length: Any, log_noise: Any) -> Any:
        distance = (t[:, None] - t) / np.exp(log_length)
        K = np.exp(-0.5 * distance**2) + np.exp(log_noise) * np.eye(40)
        if not by_factor:
            return -0.5 * z @ np.linalg.solve(K, z) - 0.5 * np.linalg.slogdet(K)[1]
        L = np.linalg.cholesky(K)
        a = np.linalg.solve(L, z)
        return -0.5 * a @ a - np.log(np.diagonal(L)).sum()

    traced = tg.trace(process, dict(log_length=0.0, log_noise=log_noise))
    at = np.array([0.0, log_noise])
    traced(at), traced.grad(at), traced.hessian(at), traced.hvp(at, at), traced.third(at, at)


# Programs and their tapes meet the edges of the doubles in other forms, which is no defect of either.
AT_THE_EDGE = {
    "logistic": lambda x: np.log(1.0 / (1.0 + np.exp(-x))),
    "softplus": lambda x: np.log(1.0 + np.exp(x)),
    "mixture": lambda x: np.log(0.5 * np.exp(-0.5 * (30 - x) ** 2) + 0.5 * np.exp(-0.5 * (35 - x) ** 2)),
    "inverse": lambda x: np.log(np.exp(x)),
    "normal": lambda x: np.log(np.exp(-x * x)),
    "odds": lambda x: np.log(x / (np.exp(400.0) * (1.0 + x))),
    "quotient": lambda x: (x * 1e160) / (x**2 * 1e160),
    "small quotient": lambda x: (x * 1e-155) / (x**2 * 1e-155),
    "powers": lambda x: abs(x) ** 1.5 + x * np.sqrt(abs(x)),
    "powers that meet": lambda x: (1.0 + abs(x)) ** 300.0 / (1.0 + abs(x)) ** 299.0,
    "product": lambda x: np.exp(x) * np.exp(-x) * x,
    "division": lambda x: (np.arange(5.0) / x).sum(),
    "hyperbolic": lambda x: np.tanh(x) ** 2 / np.cosh(x),
    "risk set": lambda x: 2000.0 * x - np.log(np.exp(np.array([2000.0, 2001.0, 1999.0]) * x).sum()),
    "tail": lambda x: np.log(special.ndtr(x)) + np.log(special.erfc(x)),
}


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
@pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning")
@pytest.mark.parametrize("name", AT_THE_EDGE)
def test_programs_at_the_edge_of_the_doubles_pass(name: str) -> None:
    for x in (0.0, 1e-300, 1e-160, 0.3, -5.0, 38.0, -400.0, 720.0, 1e10, -1e155, 1e300):
        traced = tg.trace(AT_THE_EDGE[name], x)
        at, one = np.array([x]), np.ones(1)
        traced(x), traced.grad(x), traced.hessian(x), traced.hvp(at, one), traced.third(at, one)


def test_a_fit_that_begins_on_a_branch_that_holds_there_alone_says_so() -> None:
    with (
        pytest.warns(
            tg.BranchWarning, match=r"at .*: `if lam == 0.0:`: the derivative is that of the branch"
        ),
        pytest.warns(tg.StandardErrorWarning, match="along lam"),
    ):
        tg.fit(lambda mu, lam: box_cox(lam) - mu**2, dict(mu=0.5, lam=0.0), "bfgs")
