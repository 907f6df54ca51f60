"""Branches: a replay gives what a plain call gives, on every path; each path is traced once."""

from __future__ import annotations

import functools
import itertools
import random
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.function import router

pytestmark = [
    pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.RetraceWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning"),
]

TAKEN: list[object] = []
X = np.array([0.5, -1.0, 2.0])
PROGRAMS = []


def took(label):
    """Note a turn of the road; of no consequence to the result."""
    TAKEN.append(label)
    return True


def program(f):
    PROGRAMS.append(pytest.param(f, id=f.__name__))
    return f


@program
def if_else(a, b):
    if a > b:
        took("first")
        return a * b
    took("second")
    return a - b


@program
def elif_chain(a, b):
    if a < -1.0:
        took("low")
        y = a**2
    elif a < 0.5 and took("a below") and b < 1.0:
        took("middle")
        y = np.exp(a) * b
    elif a >= 1.5 or (took("a within") and b > 1.2):
        took("high")
        y = a + 3.0 * b
    else:
        took("other")
        y = -b
    return y + a * b


@program
def nested(a, b):
    total = 0.0 * a
    if a > 0.0:
        took("a")
        if b > 0.0:
            took("b")
            total += a * b
            if a * b > 1.0:
                took("ab")
                total *= 2.0
        total += np.sin(b)
    if not b < -1.0:
        took("c")
        total += b**2
    return total


@program
def while_loop(a, b):
    x, steps = abs(a) + 0.1, 0
    while x < 2.0 + b**2:
        took("step")
        x = 1.7 * x + 0.1
        steps += 1
    return x * steps + a


@program
def break_and_continue(a, b):
    total = 0.0 * b
    for i in range(6):
        if i * a > 3.0:
            took(("break", i))
            break
        if i * b < 0.5:
            took(("skip", i))
            continue
        total = total + np.tanh(a * i) * b
    else:
        took("all")
        total = total + 1.0
    return total


@program
def early_return(a, b):
    for i in range(5):
        a = a * 0.6 + 0.3 * b
        if a < 0.2:
            took(i)
            return a * i + b
    return a


@program
def extremes_of_python(a, b):
    took(("max", b > a))
    took(("min", b < a, min(a, b) > 0.3))
    return max(a, b) * 2.0 + min(a, b, 0.3)


@program
def any_and_all_of_python(a, b):
    values = [a, b, a + b]
    first = any(v > 1.0 and took(("any", i)) for i, v in enumerate(values))
    second = all(v < 1.5 and took(("all", i)) for i, v in enumerate(values))
    return a * b * (2.0 if first else 1.0) + (a if second else b)


@program
def whole_parts(a, b):
    k, m, n = int(2.0 * a), round(b), np.floor(a).astype(int)
    took((k, m, int(n)))
    return a * k + b * m + n * a * b


@program
def an_index_by_argmax(a, b):
    values = np.stack([a, b, a * b])
    k = np.argmax(values)
    took(int(k))
    return X[k] * values[k] + values[k - 1]


@program
def boolean_masks(a, b):
    values = a * X + b
    took(tuple(int(v > 0.0) for v in values))
    chosen = values[values > 0.0]
    return chosen.sum() ** 2 + X[values > 0.0].sum() * a + 0.1 * b


@program
def places_found(a, b):
    values = a * X + b
    took(tuple(int(v < 0.2) for v in values))
    return sum(values[i] ** 2 for i in np.nonzero(values < 0.2)[0]) + len(np.argwhere(values < 0.2)) * a * b


@program
def sorted_by_python(a, b):
    def compare(x, y):
        if x < y:
            took("less")
            return -1
        took("not less")
        return 1

    ranks = sorted([a, b, 0.4], key=functools.cmp_to_key(compare))
    return ranks[0] + 2.0 * ranks[1] + 3.0 * ranks[2]


@program
def chained_comparison(a, b):
    if 0.0 < a < b < 1.6:
        took("inside")
        return a * b
    took(("outside", bool(a > 0.0), bool(a < b) if a > 0.0 else None))
    return a + b


@program
def caught_errors(a, b):
    try:
        if a < 0.0:
            raise ValueError("negative")
        result = np.sqrt(a) * b
    except ValueError:
        took("caught")
        result = a * b
    return result


@program
def looked_up_by_a_whole_number(a, b):
    table = {-2: 0.3, -1: 1.0, 0: -1.0, 1: 2.0, 2: 0.7}
    took(int(a))
    return table[int(a)] * b + a


@program
def recursion(a, b):
    if abs(a) > 0.4:
        took("deeper")
        return b * recursion(a / 2.0, b) + a
    return a * b


@program
def truth_of_a_number(a, b):
    if a - 1.0:
        took("not one")
        return a * b
    return b


@program
def equality(a, b):
    if a == 0.0:
        took("zero")
        return b
    return np.sin(a) / a * b


GRID = [(a, b) for a in (-1.7, -0.9, -0.0, 0.0, 0.35, 1.0, 1.9) for b in (-1.3, 0.0, 0.45, 1.0, 1.55)]


def signature(f, theta):
    TAKEN.clear()
    with np.errstate(all="ignore"):
        value = f(*map(np.float64, theta))
    return float(value), tuple(TAKEN)


@pytest.mark.parametrize("f", PROGRAMS)
def test_a_replay_gives_what_a_plain_call_gives(f):
    thetas = GRID * 2
    random.Random(3).shuffle(thetas)
    tape = tg.trace(f, dict(a=0.3, b=0.2))
    for theta in thetas:
        assert tape(theta) == pytest.approx(signature(f, theta)[0], rel=1e-12, abs=1e-14), theta
        tg.verify(tape.tape)


@pytest.mark.parametrize("f", PROGRAMS)
def test_each_path_is_traced_once(f):
    thetas = list(GRID)
    random.Random(4).shuffle(thetas)
    tape = tg.trace(f, dict(a=0.3, b=0.2))
    paths = {signature(f, (0.3, 0.2))[1]}
    for theta in thetas:
        tape(theta)
        paths.add(signature(f, theta)[1])
        assert tape.retraces == len(paths) - 1, theta
    for theta in reversed(thetas):
        tape(theta)
        tape.grad(theta)
    assert tape.retraces == len(paths) - 1


@pytest.mark.parametrize("f", PROGRAMS)
def test_the_gradient_is_that_of_the_path(f):
    tape = tg.trace(f, dict(a=0.3, b=0.2))
    rng = np.random.default_rng(5)
    step = 1e-6
    tried = 0
    for theta in rng.uniform(-1.9, 1.9, size=(40, 2)):
        moved = [theta + d for d in step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])]
        if len({signature(f, t)[1] for t in (theta, *moved)}) > 1:
            continue  # a kink within the steps
        up, down, right, left = (signature(f, t)[0] for t in moved)
        found = tape.grad(theta)
        expected = [(up - down) / (2.0 * step), (right - left) / (2.0 * step)]
        np.testing.assert_allclose([found["a"], found["b"]], expected, rtol=1e-6, atol=1e-7)
        tried += 1
    assert tried > 30


def test_a_value_is_guarded_once():
    def f(a):
        positive = a > 0.0
        total = a
        for _ in range(5):
            if positive:
                total = total * 1.5
        return total

    assert len(tg.trace(f, 1.0).tape.guards) == 1


def test_a_branch_on_plain_data_needs_no_guard():
    def f(a):
        total = 0.0
        for x in X:
            if x > 0.0:
                total = total + a * x
        return total if len(X) == 3 else a

    tape = tg.trace(f, 1.0)
    assert not tape.tape.guards
    assert tape(2.0) == 5.0


def test_a_branch_on_bound_data_is_guarded():
    def f(a, y, k):
        total = 0.0 * a
        for v in y:
            if v > 0.0:
                total = total + a * v
        return total * y[k]

    tape = tg.trace(f, dict(a=1.0), data=dict(y=X, k=1))
    assert tape([3.0]) == f(3.0, X, 1)
    assert tape.retraces == 0
    for y in (X, X[::-1], -X, X**2):
        for k in (0, 2, -1):
            other = tape.with_data(y=y, k=k)
            for a in (2.0, -1.0):
                assert other([a]) == pytest.approx(f(a, y, k), rel=1e-14)
                assert other.grad([a])["a"] == pytest.approx(f(1.0, y, k), rel=1e-14)
    assert tape([3.0]) == f(3.0, X, 1)


def test_groups_can_be_rebound_without_a_trace():
    tape = tg.trace(lambda b, g: (b[g] ** 2).sum(), dict(b=np.ones(3)), data=dict(g=np.array([0, 2, 2, 1])))
    other = tape.with_data(g=np.array([0, 0, 1, 1]))
    assert other([1.0, 2.0, 3.0]) == 10.0
    np.testing.assert_array_equal(other.grad([1.0, 2.0, 3.0])["b"], [4.0, 8.0, 0.0])
    assert other.retraces == 0


def test_ties_take_the_branch_that_python_takes():
    def f(a):
        if a > 0.1 + 0.2:
            return a + 10.0
        if a >= 0.3:
            return a + 20.0
        return a

    tape = tg.trace(f, 1.0)
    for a in (0.3, 0.1 + 0.2, np.nextafter(0.3, 0.0), np.nextafter(0.1 + 0.2, 1.0), 0.30000000000000001):
        assert tape(a) == f(a)


def test_a_guard_sees_what_numpy_sees_to_the_last_bit():
    """Where rounding decides, the tape must round as the plain call does."""
    rng = np.random.default_rng(0)
    for c, d, x in rng.uniform(0.1, 3.0, size=(50, 3)).round(2).tolist():
        threshold = c * (d * x)

        def f(a, c=c, d=d, threshold=threshold):
            return a * 100.0 if c * (d * a) > threshold else a

        tape = tg.trace(f, x - 1.0)
        for a in x + np.arange(-8, 9) * np.spacing(x):
            assert tape(a) == f(a)


def test_nan_takes_the_branch_that_python_takes():
    def f(a):
        return 1.0 + 0.0 * np.where(np.isnan(a), 0.0, a) if a > 0.0 else np.where(np.isnan(a), -1.0, a)

    tape = tg.trace(f, 1.0)
    for a in (np.nan, 2.0, -2.0, np.nan):
        assert tape(a) == f(a)
    assert tape.retraces == 1


def test_nan_where_a_whole_number_is_wanted_is_the_users_error():
    tape = tg.trace(lambda a: a * int(a), 1.5)
    with pytest.raises(ValueError, match="cannot convert float NaN to integer"):
        tape(np.nan)
    with pytest.raises(OverflowError, match="cannot convert float infinity to integer"):
        tape(np.inf)
    assert tape(2.5) == 5.0


def test_an_error_on_one_path_leaves_the_others_alone():
    def f(a):
        if a < 0.0:
            raise ValueError(f"a must not be negative: {a > -1.0}")
        return np.sqrt(a)

    tape = tg.trace(f, 4.0)
    for _ in range(2):
        with pytest.raises(ValueError, match="a must not be negative: True") as caught:
            tape(-0.5)
        assert caught.value.__context__ is None
        assert tape(9.0) == 3.0
        assert tape.grad(4.0) == 0.25


def test_many_retraces_warn_and_name_the_line(monkeypatch):
    monkeypatch.setattr(router, "clock", lambda: 0.0)

    def f(a):
        return a * int(a)  # the line

    tape = tg.trace(f, 0.5)
    line = f.__code__.co_firstlineno + 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(45):
            assert tape(k + 0.5) == (k + 0.5) * k
    assert tape.retraces == 44
    told = [str(w.message) for w in caught if w.category is tg.RetraceWarning]
    assert len(told) == 2
    assert "f has been traced again 20 times" in told[0]
    assert f"{__file__}:{line}: `return a * int(a)  # the line`" in told[0]
    assert "np.where" in told[0]


def test_the_first_second_of_tracing_again_warns(monkeypatch):
    """Once, after a second in all, with its cause; the clock says 0.2 s more each time it is asked."""
    now = itertools.count()
    monkeypatch.setattr(router, "clock", lambda: 0.2 * next(now))

    def f(a):
        return a * int(a)  # the line

    tape = tg.trace(f, 0.5)
    told = []
    for k in range(1, 6):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tape(k + 0.5)
        told += [(k, str(w.message)) for w in caught if w.category is tg.RetraceWarning]
    ((k, message),) = told
    assert k == 2  # 0.6 s for recording a path, 0.2 s for making its code
    assert "f has been traced again 2 times, which took 1.4 s, because a branch keeps changing at" in message
    assert f"{__file__}:{f.__code__.co_firstlineno + 1}: `return a * int(a)  # the line`" in message


def test_a_long_tape_says_what_to_expect(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(router, "clock", lambda: float(next(now)))

    def f(a):
        for _ in range(10_001):
            a = a * 0.5 + 1.0  # the line
        return a

    with pytest.warns(tg.LongTapeWarning) as caught:
        tg.trace(f, 0.5, reroll=False)
    (told,) = [str(w.message) for w in caught]
    assert told.startswith("f has 20,002 steps on single numbers, most of them at ")
    assert f"{__file__}:{f.__code__.co_firstlineno + 2}: `a = a * 0.5 + 1.0  # the line`" in told
    assert "Recording them took 1.0 s; expect about 10 s for the first value, 30 s for the first gra" in told
    assert caught[0].filename == __file__


def test_where_and_its_like_never_guard():
    def f(v):
        y = np.where(v > 0.0, v, -2.0 * v) + np.maximum(v, 0.3) + np.clip(v, -1.0, 1.0) + np.abs(v)
        return (y + np.select([v > 1.0], [v**2], 0.0) + np.sort(v)).sum() + np.max(v) * np.linalg.norm(v)

    tape = tg.trace(f, np.array([0.5, -0.2]))
    assert not tape.tape.guards
    for v in ([1.5, -0.7], [-3.0, 0.0]):
        assert tape(v) == pytest.approx(f(np.array(v)), rel=1e-13)
    assert tape.retraces == 0


def test_unlike_outcomes_at_one_place_find_their_own_paths():
    """A path that begins alike must not be taken for another whose later guards differ."""

    def f(a, b):
        k = int(a)
        if k > 0:
            return b * k if b > 0.0 else b - k
        return (a * b if b > 1.0 else a + b) if b != 0.0 else a

    tape = tg.trace(f, dict(a=1.5, b=1.0))
    rng = np.random.default_rng(6)
    for a, b in rng.uniform(-3.0, 3.0, size=(200, 2)).round(1):
        assert tape([a, b]) == pytest.approx(float(f(a, b)), rel=1e-14, abs=1e-15)
