"""Stand-ins are in force while a function is traced, in that thread alone, and leave nothing behind."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from math import log
from types import ModuleType

import numpy as np
import pytest
from against_plain import DATA, check
from scipy import integrate, linalg, signal, special, stats
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import logsumexp, softmax

import tapegrad as tg
from tapegrad.recording.standins.mechanism import StandIn, _written_in_python
from tapegrad.recording.standins.tables import ALL

V = np.array([0.3, -0.2, 0.5])


def state():
    """What stands in all the places of stand-ins: objects, and the code of functions."""
    found = []
    for row in ALL:
        module, _, name = row.owner.partition(":")
        owner = sys.modules.get(module)
        held = vars(getattr(owner, name) if name else owner).get(row.name) if owner else None
        function = _written_in_python(held)
        found.append((held, function and function.__code__))
    return found


def same(a, b):
    return all(x is y and c is d for (x, c), (y, d) in zip(a, b, strict=True))


@pytest.fixture(name="before")
def what_stands_there():
    return state()


def test_the_tables_name_what_is_there(before):
    missing = {f"{row.owner}.{row.name}" for row, (held, _) in zip(ALL, before, strict=True) if held is None}
    loaded = {name for name in missing if name.partition(":")[0].rpartition(".")[0] in sys.modules}
    assert {name for name in loaded if not name.startswith(("pandas", "scipy.stats"))} == set()


def test_rows_that_lead_to_one_function_have_one_answer():
    answers: dict = {}
    for row in ALL:
        module, _, name = row.owner.partition(":")
        owner = sys.modules.get(module)
        owner = getattr(owner, name, None) if name else owner
        function = _written_in_python(getattr(owner, row.name, None))
        if function is not None:
            answers.setdefault(function, set()).add((row.answer, row.keep))
    assert len(answers) > 100
    assert [function for function, found in answers.items() if len(found) > 1] == []


def test_importing_changes_no_other_module():
    code = (
        "import math, numpy as np, scipy.special, scipy.linalg, scipy.stats\n"
        "modules = math, np, np.linalg, scipy.special, scipy.linalg, scipy.stats\n"
        "held = [(m, dict(vars(m))) for m in modules]\n"
        "codes = [getattr(f, '__code__', None) for _, names in held for f in names.values()]\n"
        "import tapegrad, tapegrad.mle\n"
        "for m, names in held:\n"
        "    assert all(vars(m)[n] is f for n, f in names.items()), m\n"
        "assert codes == [getattr(f, '__code__', None) for _, names in held for f in names.values()]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_behind(before):
    during = []

    def f(v):
        during.append(state())
        return v.sum()

    tg.trace(f, V)
    assert not same(during[0], before)
    assert same(state(), before)
    assert np.zeros(3).__class__ is np.ndarray


def test_nothing_is_left_behind_by_an_error(before):
    for error in (ZeroDivisionError, KeyboardInterrupt):

        def f(v, error=error):
            raise error

        with pytest.raises(error):
            tg.trace(f, V)
        assert same(state(), before)


def test_traces_inside_traces(before):
    during = []

    def f(v):
        inner = tg.trace(lambda w: np.sum(np.array([w[0], math.exp(w[1])])), V)
        during.append(not same(state(), before))
        b = np.zeros(2)
        b[0] = v[0]
        return inner(v) + math.log(v[0] + 1.0) + b.sum()

    slopes = tg.trace(f, V).grad(V)
    np.testing.assert_allclose(slopes, [2.0 + 1.0 / (V[0] + 1.0), np.exp(V[1]), 0.0], rtol=1e-12)
    assert all(during[:1])
    assert same(state(), before)


def test_rows_for_a_method_and_for_the_class_that_inherits_it(monkeypatch):
    class Base:
        def double(self, x):
            return 2.0 * float(x)

    class Heir(Base):
        pass

    made = ModuleType("made_for_stand_ins")
    made.Base, made.Heir = Base, Heir
    code = Base.double.__code__
    rows = [
        StandIn(f"{made.__name__}:{kind}", "double", lambda original, item, x: 2.0 * x)
        for kind in ("Base", "Heir")
    ]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr("tapegrad.function.record.ALL", (*ALL, *rows))
    for _ in range(3):  # each trace begins with what the one before has left
        f = tg.trace(lambda v: Base().double(v[0]) + Heir().double(v[1]), V)
        assert Base.double.__code__ is code
        assert vars(Heir).get("double") is None
        np.testing.assert_array_equal(f.grad(V), [2.0, 2.0, 0.0])


def test_plain_calls_inside_a_trace_meet_plain_functions():
    kinds = []

    def inner(w):
        kinds.append(type(np.zeros(2)))
        return w.sum()

    tg.trace(lambda v: v.sum() + tg.trace(inner, V)(V), V)
    assert kinds[1:3] == [np.ndarray, np.ndarray]


def test_other_threads_go_on_with_the_originals():
    seen, at_work, done = [], threading.Event(), threading.Event()

    def elsewhere():
        at_work.wait(10)
        seen.append((type(np.zeros(2)), math.log(2.0), float(logsumexp([0.0, 0.0]))))
        done.set()

    def f(v):
        at_work.set()
        assert done.wait(10)
        return math.log(v[0])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    tg.trace(f, V)
    thread.join()
    assert seen == [(np.ndarray, math.log(2.0), math.log(2.0))]


def test_traces_in_two_threads_end_one_after_the_other(before):
    first_inside, second_over = threading.Event(), threading.Event()
    results = []

    def slow(v):
        first_inside.set()
        assert second_over.wait(10)
        return math.exp(v[0])

    def run():
        results.append(tg.trace(slow, V).grad(V)[0])

    thread = threading.Thread(target=run)
    thread.start()
    assert first_inside.wait(10)
    assert tg.trace(lambda v: math.exp(v[1]), V).grad(V)[1] == pytest.approx(math.exp(V[1]))
    assert not same(state(), before)
    second_over.set()
    thread.join()
    assert results == [pytest.approx(math.exp(V[0]))]
    assert same(state(), before)


def test_generators_that_outlive_the_trace(before):
    kept = []

    def numbers(v):
        yield math.exp(v[0])
        yield type(np.zeros(2))

    def f(v):
        made = numbers(v)
        kept.append(made)
        return next(made)

    tg.trace(f, V)
    assert [next(made) for made in kept] == [np.ndarray] * len(kept)

    def traces():
        yield tg.trace(lambda v: math.exp(v[0]), V)
        yield type(np.zeros(2))

    assert [type(x) for x in traces()] == [tg.TracedFunction, type]
    assert same(state(), before)


def test_a_function_that_was_kept_in_a_trace_is_the_function_afterwards():
    kept = []

    def f(v):
        kept.append(math.log)
        assert kept[-1](2.0) == log(2.0)
        return kept[-1](v[0])

    tg.trace(f, V)
    assert kept[0](2.0) == log(2.0)
    assert kept[0] == log
    assert {log: 1}[kept[0]] == 1
    assert kept[0].__name__ == "log"


def test_libraries_make_plain_arrays():
    code = compile("def make(np):\n    return np.zeros(3)\n", "/x/site-packages/scipy/made.py", "exec")
    scope = {"__name__": "scipy.made"}
    exec(code, scope)
    kinds = []

    def f(v):
        kinds.append(type(scope["make"](np)))
        return v.sum()

    tg.trace(f, V)
    assert set(kinds) == {np.ndarray}


# NumPy ------------------------------------------------------------------------------------------------------


def conversions(v):
    made = [np.asarray(v), np.asarray(v, dtype=float), np.asanyarray(v), np.ascontiguousarray(v)]
    made += [np.atleast_1d(v), np.array(v), np.array(v, float, copy=True), v.astype(float)]
    made += [np.array(v, ndmin=2), np.atleast_2d(v), np.asarray_chkfinite(v), np.asfortranarray(v)]
    return [x * (i + 1.0) for i, x in enumerate(made)]


def arrays_of_lists(v, w):
    made = [np.array([v[0], w[0]]), np.array([[v[0], 0.5], [0.5, w[1]]], dtype=float), np.asarray([v, w])]
    made += [np.array((1.0, v[2])), np.exp(np.array([v[0], 1.0])), np.r_[v[0], w], np.c_[v, DATA]]
    return (
        made,
        np.mean([v[0], v[1]]),
        np.diag([v[0], v[1]]),
        np.linalg.det(made[1]),
        np.dot([v[0], 1.0], w[:2]),
    )


def copies_and_aliases(v):
    same, other, scalar = np.asarray(v), np.array(v), np.asarray(v[0])
    same[0] = 5.0
    other[1] = 7.0
    scalar += 1.0
    return v, other, scalar


def numbers(v):
    return v[0].item(), v.item(1), sum(v.tolist()), v.reshape(1, 3).tolist()[0][2]


@pytest.mark.parametrize("f", [conversions, arrays_of_lists, copies_and_aliases, numbers])
def test_numpy(f):
    check(f)


def test_conversions_cost_no_entries():
    x = np.random.default_rng(0).normal(size=(1000, 3))

    def plain(b):
        return np.log1p(np.exp(x @ b)).sum()

    def converting(b):
        eta = np.asarray(x @ np.asarray(b, dtype=float)).astype(float)
        return np.sum(np.asarray(np.log1p(np.exp(eta)), dtype=np.float64))

    counts = [len(tg.trace(f, V).tape.entries) for f in (plain, converting)]
    assert counts[0] == counts[1]


# Python's math ----------------------------------------------------------------------------------------------


def logarithms(v):
    x = abs(v[0]) + 1.0
    return math.log(x), math.log(x, 10), math.log2(x), math.log10(x), math.log1p(x), math.sqrt(x)


def powers(v):
    x = abs(v[0]) + 1.0
    return math.exp(x), math.expm1(x), math.pow(x, v[1]), math.hypot(x, v[1]), math.fabs(v[1]), math.cbrt(x)


def angles(v):
    x = math.tanh(v[0])
    return [
        math.sin(x),
        math.cos(x),
        math.tan(x),
        math.asin(x),
        math.atan(x),
        math.atan2(x, 2.0),
        math.sinh(x),
    ]


def families(v):
    return math.lgamma(abs(v[0]) + 1.0), math.erf(v[1]), math.erfc(v[2]), math.fsum(v), math.prod(v)


def decided(v):
    return v[0] if math.isfinite(v[0]) and not math.isnan(v[1]) else 0.0


@pytest.mark.parametrize("f", [logarithms, powers, angles, families, decided])
def test_math(f):
    check(f, rtol=1e-12)


def test_errors_of_math_are_errors():
    def f(v):
        try:
            return math.log(v[0] - 5.0)
        except ValueError:
            return v[1] * 2.0

    check(f)


# SciPy ------------------------------------------------------------------------------------------------------


def special_functions(v):
    found = [logsumexp(v), special.logsumexp(v, b=[1.0, 2.0, 0.5]), softmax(v)[0], special.log_softmax(v)[1]]
    x = np.exp(v[0]) + 2.0
    return [*found, special.polygamma(1, x), special.multigammaln(x, 2), special.logsumexp([v[0], v[1]])]


def _matrix(v):
    return np.array([[2.0 + v[0] ** 2, v[1]], [v[1], 1.0 + v[1] ** 2 + v[2] ** 2]])


def decompositions(v):
    s, b = _matrix(v), v[:2]
    found = []
    for lower in (True, False):
        factor = cho_factor(s, lower)
        found += [
            cho_solve(factor, b),
            cholesky(s, lower=lower),
            linalg.cho_solve(cho_factor(s, lower=lower), s),
        ]
        t = cholesky(s, lower=lower)
        found += [solve_triangular(t, b, lower=lower), solve_triangular(t, b, trans=1, lower=lower)]
        found += [solve_triangular(t, s, 0, lower, True), linalg.solve(t, b, lower=lower, assume_a="pos")]
    return found


def linear_algebra(v):
    s, b = _matrix(v), v[:2]
    found = [linalg.solve(s, b), linalg.solve(s, b, assume_a="pos"), linalg.inv(s), linalg.det(s)]
    found += [linalg.block_diag(s, 1.0, [b]), linalg.toeplitz(v), linalg.toeplitz(v, v * 2.0), linalg.norm(b)]
    bands = np.stack([v * 0.1, v**2 + 2.0, v * 0.2])
    found += [linalg.solve_banded((1, 1), bands, v), linalg.solveh_banded(bands[:2], v)]
    return [*found, linalg.solveh_banded(bands[1:], v, lower=True), linalg.eigh(s, eigvals_only=True)]


def filters(v):
    y, a = np.sin(np.arange(9.0)), np.tanh(v) / 3.0
    found = [signal.lfilter([1.0, a[0]], [1.0, -a[1]], y), signal.lfilter([1.0], [2.0, a[0], a[1]], y)]
    return [*found, signal.lfilter([a[0], a[1]], [1.0], y), signal.lfilter([1.0], [1.0, 0.5], v)]


def normal_vectors(v):
    y = np.sin(np.arange(6.0)).reshape(3, 2)
    dist = stats.multivariate_normal
    found = [
        dist.logpdf(y, v[:2], _matrix(v)),
        dist(v[:2], _matrix(v)).logpdf(y[0]),
        dist.logpdf(y[0], v[1:]),
    ]
    return [
        *found,
        dist.pdf(v, v[0], v[2] ** 2),
        dist(cov=_matrix(v)).pdf(y),
        dist.logpdf(v[:2], v[1:], [1.0, 2.0]),
    ]


def frozen_distributions(v):
    y, s = np.sin(np.arange(6.0)), np.exp(v[1])
    found = [
        stats.norm(v[0], s).logpdf(y),
        stats.norm(loc=v[0], scale=s).logsf(y),
        stats.poisson(s).pmf([0, 1, 9]),
    ]
    return [*found, stats.genlogistic(s, v[0]).cdf(y), stats.gamma.nnlf((s, 0.0, 2.0), y**2 + 0.1)]


def outside_the_support(v):
    y = np.array([-2.0, 0.5, 3.0])
    return (
        stats.triang.logpdf(y, 0.5, v[0], 1.0),
        stats.uniform.cdf(y, v[0], 1.0),
        stats.zipf.logpmf([-1, 2, 0.5], 3.0 + v),
    )


def invalid_parameters(v):
    return stats.genlogistic.logpdf(0.5, np.array([1.0, -1.0]), v[0]), stats.gumbel_r.pdf(
        0.5, v[0], [1.0, -2.0]
    )


def quadrature(v):
    y = np.exp(v[0] * np.linspace(0.0, 1.0, 9))
    return integrate.trapezoid(y, dx=0.1), integrate.simpson(y, dx=0.1), np.trapezoid(y, dx=0.1)


DISTRIBUTIONS = [normal_vectors, frozen_distributions, outside_the_support, invalid_parameters, quadrature]


@pytest.mark.parametrize("f", [special_functions, decompositions, linear_algebra, filters, *DISTRIBUTIONS])
@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
def test_scipy(f):
    check(f, rtol=1e-11)


@pytest.mark.parametrize(
    "f", [special_functions, decompositions, linear_algebra, filters, normal_vectors, quadrature]
)
def test_gradients_in_scipy(f):
    def total(v):
        return sum([np.sum(np.cos(x)) for x in f(v)])

    steps = 1e-5 * np.eye(3)
    expected = [
        (8.0 * (total(V + h) - total(V - h)) - total(V + 2 * h) + total(V - 2 * h)) / 12e-5 for h in steps
    ]
    np.testing.assert_allclose(tg.trace(total, V).grad(V), expected, rtol=1e-8, atol=1e-9)


# What is refused --------------------------------------------------------------------------------------------


def test_a_refusal_inside_a_library_names_its_function_and_line():
    with pytest.raises(
        tg.TraceError, match=r"standins.py:\d+: `.*` \(inside schur, scipy/linalg/.*py:\d+\): "
    ):
        tg.trace(lambda v: linalg.schur(np.diag(v) + 2.0)[0], V)


def test_names_bound_before_are_reached_in_modules_and_not_in_closures():
    assert tg.trace(lambda v: log(v[0]), V).grad(V)[0] == 1.0 / V[0]
    kept = math.log
    with pytest.raises(tg.TraceError, match=r"write np\.log instead of kept"):
        tg.trace(lambda v: kept(v[0]), V)


@pytest.mark.parametrize("draw", [np.random.default_rng(0).normal, np.random.normal])
def test_random_numbers_are_refused_at_trace_time(draw):
    with pytest.raises(tg.ReplayError, match="Draw random numbers outside the function"):
        tg.trace(lambda v: v[0] + draw(), V)


def test_functions_that_numba_has_compiled_run_as_they_are_written():
    numba = pytest.importorskip("numba")

    @numba.njit
    def squares(a, x):
        return a * x**2

    @numba.njit
    def recursion(v, x):
        total, h = 0.0, 1.0
        for i in range(1, len(x)):
            h = v[0] + squares(v[1], x[i - 1]) + 0.5 * h
            total += np.log(h)
        return total

    x, v = np.array([0.3, -1.0, 0.7, 0.2]), np.array([0.4, 0.3])
    kind = type(recursion)
    traced = tg.trace(lambda v: recursion(v, x), v)
    assert "__call__" not in vars(kind)
    np.testing.assert_allclose(
        traced.grad(v), tg.trace(lambda v: recursion.py_func(v, x), v).grad(v), rtol=1e-14
    )
    assert traced(v) == pytest.approx(recursion(v, x), rel=1e-14)
