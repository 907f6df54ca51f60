"""Every error a user can meet: each names the user's file and line, and what to write instead."""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import subprocess
import sys
from math import log

import numpy as np
import pytest
from scipy import optimize, sparse, special

import tapegrad as tg
from tapegrad.recording import dispatch

X = np.array([0.5, 1.5, 2.5])
M = np.ones((3, 2))
RNG = np.random.default_rng(0)


def line_of(f, text="# here"):
    """The line of `f` that holds a text."""
    lines, start = inspect.getsourcelines(f)
    (found,) = [start + i for i, line in enumerate(lines) if text in line]
    return found


def error_of(f, params, error=tg.TraceError, **kwargs):
    with pytest.raises(error) as caught:
        tg.trace(f, params, **kwargs)
    return str(caught.value)


STEPS = []


def step(*advice):
    def enter(f):
        STEPS.append(pytest.param(f, advice, id=f.__name__))
        return f

    return enter


# Steps that would leave the tape ----------------------------------------------------------------------------


@step("write the value itself instead of float(...)")
def float_of_a_traced_value(v, float=float):
    total = v.sum()
    return float(total)  # here


@step("write np.log instead of log")
def math_log_by_its_own_name(v, log=log):
    return log(v[0] + 5.0)  # here


@step("a plain buffer cannot hold traced values")
def captured_data_in_place(v):
    x = X.copy()
    y = x
    x -= v[0]  # here
    return y.sum()


@step("leave out the dtype")
def fromiter(v):
    return np.fromiter((2.0 * x for x in v), dtype=float).sum()  # here


@step("NumPy computes this in float16", "write .astype(float) first")
def exponential_of_truth_values(v):
    return np.exp(v > 9.0).sum() * v.sum()  # here


@step("write np.arange(int(n))")
def arange_of_a_traced_count(v):
    return np.arange((v > 0.0).sum()).sum() * v[0]  # here


@step("draw random numbers outside the function")
def random_numbers_about_a_traced_mean(v):
    return RNG.normal(v[0], 1.0)  # here


@step("draw random numbers outside the function")
def random_numbers_by_the_old_way(v):
    return np.random.normal(v[0], 1.0)  # noqa: NPY002  # here


@step("write int(...)")
def float_as_an_index(v):
    return v[v[0]]  # here


@step("write .astype(int)")
def floats_as_an_index(v):
    return v[v].sum()  # here


@step("write int(...)")
def range_of_a_float(v):
    return sum(v[0] for _ in range(np.floor(v[1])))  # here


@step("an assignment writes one element twice", "write each element once")
def repeated_assignment(v):
    v[[0, 0]] = v  # here
    return v.sum()


@step("leaves the other elements to chance", "out=np.zeros_like(v)")
def ufunc_where(v):
    return np.log(v, where=v > v[0]).sum()  # here


@step("leave dtype out")
def sum_in_single_precision(v):
    return np.sum(v, dtype=np.float32)  # here


@step(".astype(float), which is float64")
def single_precision(v):
    return v.astype(np.float32).sum()  # here


@step("np.fft.rfft cannot be traced", "matrices of cosines and sines")
def no_rule(v):
    return np.fft.rfft(v).real.sum()  # here


@step("this cannot be traced", "np.concatenate")
def padding_with_a_mode(v):
    return np.pad(v, 1, mode="mean").sum()  # here


@step("an object array of arrays cannot stand on a tape")
def array_of_arrays_of_unlike_lengths(v):
    both = np.empty(2, dtype=object)
    both[0], both[1] = v, v[:1]
    return np.add(both, v).sum()  # here


@step("a traced float64 value cannot be an index")
def floats_in_a_list_as_an_index(v):
    return v[[v[0], 1]].sum()  # here


@step("mathieu_a cannot be traced")
def ufunc_without_a_rule(v):
    return special.mathieu_a(1.0, np.abs(v)).sum()  # here


@step("bitwise_and of numbers has no rule", "(x > 0) & (y > 0)")
def bits_of_whole_numbers(v):
    return (v.astype(int) & 1).sum()  # here


@step("bitwise_xor of numbers has no rule")
def hat_for_a_power(v):
    return (v ^ 2).sum()  # here


@step("invert of numbers has no rule")
def bits_of_a_count(v):
    return ~(v > 0.0).sum()  # here


@step("scipy.optimize takes plain numbers only")
def scipy_root(v):
    return optimize.brentq(lambda x: x - v[0], -10.0, 10.0)  # here


@step("a sparse matrix cannot take traced values")
def scipy_sparse(v):
    return (sparse.csr_array((v, ([0, 1, 2], [0, 1, 2]))) @ v).sum()  # here


@step("complex128 data cannot stand on a tape")
def complex_numbers(v):
    return abs(v[0] * 1j)  # here


@step("data cannot stand on a tape")
def text_as_a_number(v):
    return v[0] * "2"  # here


@step("NoneType is not a number")
def none_as_a_number(v):
    return v + None  # here


@step("a MaskedArray cannot stand on a tape", "x.compressed()")
def masked_data(v):
    return (v[0] * np.ma.masked_array(X, X > 2.0)).sum()  # here


@step("a matrix cannot stand on a tape")
def matrix_data(v):
    return (v * np.asmatrix(np.eye(2))).sum()  # here


@step("unhashable", "functools.cache", "keep by its key only what depends on data alone")
def traced_key(v):
    return {v[0]: 1.0}[v[0]] * v[1]  # here


@step("a plain buffer cannot hold traced values")
def element_of_a_plain_buffer_over_several_lines(v):
    zero_idx = X > 1.0
    llf = zero_idx.astype(float)
    llf[zero_idx] = np.log(  # here
        v[0] + X[zero_idx]
    )
    return llf.sum()


@step("write np.log instead of log")
def math_log_on_a_line_of_its_own(v, log=log):
    return (
        np.exp(v[1]) + log(v[0])  # here
    )


@step("write the value itself instead of float(...)")
def float_among_other_calls(v, float=float):
    return np.log(v[0]) + np.sum([X[0], math.exp(X[1]), float(v[1])])  # here


@step("instead of log")
def math_log_over_several_lines(v, log=log):
    return X.sum() + log(  # here
        v[0] + v[1]
    )


@pytest.mark.parametrize(("f", "advice"), STEPS)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_step_that_cannot_be_recorded(f, advice):
    told = error_of(f, dict(v=np.array([1.2, 0.4])))
    assert f"{__file__}:{line_of(f)}: `" in told
    for words in advice:
        assert words in told


def test_an_expression_over_several_lines_is_quoted_as_one():
    # fmt: off
    def f(v, log=log):
        return log(
            v[0]
            + 1.0
        )
    # fmt: on

    assert ": `log( v[0] + 1.0 )`: write np.log" in error_of(f, dict(v=np.ones(2)))


def test_a_long_line_is_cut():
    log = math.log

    def f(v):
        return X.sum() + X.prod() + X.max() + X.min() + X.mean() + X.std() + X.var() + 1.0 + log(v[0])  # here

    told = error_of(f, dict(v=np.ones(2)))
    assert f"{__file__}:{line_of(f)}: `log(v[0])`: write np.log" in told


def test_a_long_expression_is_cut():
    def f(v, log=log):
        return log(
            v[0] + 10.0 + 11.0 + 12.0 + 13.0 + 14.0 + 15.0 + 16.0 + 17.0 + 18.0 + 19.0 + 20.0 + 21.0 + 22.0
        )

    told = error_of(f, dict(v=np.ones(2)))
    (quoted,) = re.findall(r"`([^`]*)`: write np\.log", told)
    assert quoted.startswith("log( v[0] + 10.0 + 11.0")
    assert quoted.endswith(" ...")
    assert len(quoted) == 100


def test_the_line_is_not_that_of_a_library():
    """SciPy writes code of its own; polars and xarray are installed as a user's package is."""
    text = "def log(x):\n    return logarithm(x)\n"
    scipys = {"logarithm": math.log, "__name__": "scipy.stats._somewhere"}
    exec(compile(text, "<string>", "exec"), scipys)
    polars = {"logarithm": math.log, "__name__": "polars.series"}
    exec(compile(text, "/x/site-packages/polars/series.py", "exec"), polars)

    def f(v):
        return scipys["log"](v[0])  # here

    def g(v):
        return polars["log"](v[0])  # here

    for function in (f, g):
        told = error_of(function, dict(v=np.ones(2)))
        assert f"{__file__}:{line_of(function)}: `" in told


def test_no_number_equals_none():
    def f(v):
        assert (v[0] == None) is False  # noqa: E711
        assert (v[0] != None) is True  # noqa: E711
        assert v[0] not in (None, "x")
        assert not np.any(v == None)  # noqa: E711
        assert (v != "x").all()
        return v.sum()

    def plain(v):
        assert not v[0] == None  # noqa: E711, SIM201
        assert not np.any(v == None)  # noqa: E711
        return v.sum()

    assert tg.trace(lambda v: f(v) if hasattr(v, "recorder") else plain(v), np.ones(2))(np.ones(2)) == 2.0


def test_like_a_number_names_what_works():
    with pytest.raises(TypeError, match="like") as caught:
        tg.trace(lambda a: np.linalg.det(np.array([[a, 0.5], [0.5, a]], like=a)), 1.5)
    assert "np.block([[a, 0.5], [0.5, b]])" in caught.value.__notes__[0]


SCIPY_ARRAY_API = """
import numpy as np, tapegrad as tg
from scipy import special
from tapegrad.stats import poisson
assert not isinstance(special.gammaln, np.ufunc)
x = np.arange(3.0)
for f in (special.gammaln, special.digamma, lambda a: special.xlogy(x, a).sum(),
          lambda a: poisson.logpmf(x, a).sum(), lambda a: special.log_ndtr(a * x).sum()):
    tape = tg.trace(f, 1.5)
    assert abs(tape(2.5) - f(2.5)) < 1e-14 * abs(tape(2.5)), f
    assert np.isfinite(tape.grad(2.5))
"""


def test_scipy_for_arrays_of_any_library():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-c", SCIPY_ARRAY_API]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_the_line_is_that_of_a_helper_where_it_stands_there():
    def helper(x, log=log):
        return log(x)  # here

    def f(v):
        return helper(v[0])

    assert f"{__file__}:{line_of(helper)}: `return log(x)  # here`" in error_of(f, dict(v=np.ones(2)))


def test_the_line_in_a_pandas_step_is_the_users():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(dict(y=X))

    def f(a):
        frame["z"] = a * frame["y"]
        return pd.Series(np.array([a, 1.0]), dtype=float).sum()  # here

    told = error_of(f, dict(a=1.0))
    assert f"{__file__}:{line_of(f)}: `" in told
    assert ".to_numpy()" in told


def test_code_without_a_file_still_has_a_line():
    scope = {}
    exec(compile("def f(a):\n    return complex(a)\n", "<typed in>", "exec"), scope)
    assert "at <typed in>:2: " in error_of(scope["f"], dict(a=1.0))


def test_errors_of_a_later_trace_come_with_the_call_that_met_them():
    log = math.log

    def f(a):
        if a > 1.0:
            return log(a)  # here
        return a

    tape = tg.trace(f, dict(a=0.5))
    for _ in range(2):
        with pytest.raises(tg.TraceError, match=re.escape(f"{__file__}:{line_of(f)}")):
            tape([2.0])
        assert tape([0.25]) == 0.25


def test_arguments_of_functions_whose_signature_numpy_does_not_tell(monkeypatch):
    """Some of NumPy's C functions have none before version 2.4."""
    dispatch._required.cache_clear()
    known = dispatch._signature
    hidden = (np.concatenate, np.where)
    monkeypatch.setattr(dispatch, "_signature", lambda func: None if func in hidden else known(func))
    m = np.arange(4.0).reshape(2, 2)
    f = tg.trace(lambda v: np.concatenate([v, m], axis=None), dict(v=m))
    np.testing.assert_array_equal(f([1.0, 2.0, 3.0, 4.0]), [1, 2, 3, 4, 0, 1, 2, 3])
    g = tg.trace(
        lambda v: np.where(v > 1.0, v, 0.0) + np.concatenate((v, m), 1, dtype=None)[:, 2:], dict(v=m)
    )
    np.testing.assert_array_equal(g([1.0, 2.0, 3.0, 4.0]), [[0, 3], [5, 7]])
    dispatch._required.cache_clear()


# Randomness and state ---------------------------------------------------------------------------------------


def test_random_numbers_inside_the_function():
    rng = np.random.default_rng(1)

    def f(mu):
        noise = rng.normal(size=3)
        return ((X - mu) * noise).sum()  # here

    told = error_of(f, dict(mu=0.5), tg.ReplayError)
    assert f"the step at {__file__}:{line_of(f)}: `return ((X - mu) * noise).sum()  # here` differs" in told
    assert "Draw random numbers outside the function, once" in told


def test_random_numbers_that_a_start_value_of_zero_hides():
    rng = np.random.default_rng(2)

    def f(mu):
        return mu * rng.normal()  # here

    told = error_of(f, dict(mu=0.0), tg.ReplayError)
    assert f"{__file__}:{line_of(f)}" in told


def test_a_counter_inside_the_function():
    calls = []

    def f(mu):
        calls.append(mu)
        return mu * len(calls)  # here

    told = error_of(f, dict(mu=0.0), tg.ReplayError)
    assert f"{__file__}:{line_of(f)}" in told
    assert "keep no state inside it" in told


def test_captured_data_that_the_function_changes():
    x = X.copy()

    def f(mu):
        x[0] += 1.0
        return (mu * x).sum()  # here

    assert f"{__file__}:{line_of(f)}" in error_of(f, dict(mu=0.0), tg.ReplayError)


def test_a_function_that_tells_traced_values_from_arrays():
    def f(mu):
        return mu * 2.0 if type(mu) is np.float64 else mu * 3.0

    told = error_of(f, dict(mu=0.0), tg.ReplayError)
    assert f"f ({__file__}:{f.__code__.co_firstlineno})" in told
    assert "test the type of its arguments" in told


def test_a_function_that_catches_our_error():
    def f(mu):
        try:
            return 2.0 * complex(mu).real
        except TypeError:
            return 3.0 * mu

    told = error_of(f, dict(mu=0.0), tg.ReplayError)
    assert f"f ({__file__}:{f.__code__.co_firstlineno})" in told
    assert "catch the error of a traced step" in told


def test_a_float_that_is_tried_is_one():
    def f(mu):
        try:
            return 2.0 * float(mu)
        except TypeError:
            return 3.0 * mu

    assert tg.trace(f, dict(mu=0.0))([3.0]) == 6.0


def test_a_harmless_catch_is_harmless():
    def f(mu):
        try:
            return 2.0 * complex(mu).real
        except TypeError:
            return 2.0 * mu

    assert tg.trace(f, dict(mu=0.0))([3.0]) == 6.0


# Leaked tracers ---------------------------------------------------------------------------------------------


def test_a_traced_value_kept_from_another_trace():
    kept = []

    def keep(a):
        kept.append(a * 2.0)
        return a

    tg.trace(keep, dict(a=1.0))

    def in_an_operation(a):
        return a + kept[0]  # here

    def by_itself(a):
        return a * float(kept[0] * 2.0 > 1.0)  # here

    def as_a_decision(a):
        if kept[0] > 1.0:  # here
            return a
        return -a

    def in_a_function(a):
        return np.maximum(np.exp(kept[0]), a)  # here

    def in_a_list(a):
        return np.stack([a, kept[0]]).sum()  # here

    for f in (in_an_operation, by_itself, as_a_decision, in_a_function, in_a_list):
        told = error_of(f, dict(a=1.0))
        assert "a traced value of another trace was used" in told
        assert f"{__file__}:{line_of(f)}" in told
    assert "of another trace" in error_of(lambda a: kept[0], dict(a=1.0))


def test_a_traced_value_used_after_its_trace():
    kept = []
    tg.trace(lambda a: (kept.append(a), a)[1], dict(a=np.ones(3)))
    for use in (
        lambda a: a + 1.0,
        np.exp,
        lambda a: a[0],
        np.sum,
        lambda a: bool(a[0] > 0.0),
        lambda a: a.any(),
    ):
        with pytest.raises(tg.TraceError, match="of another trace"):
            use(kept[0])
    with pytest.raises(tg.TraceError, match="of another trace"):
        kept[0][0] = 1.0
    assert "traced" in repr(kept[0])


# What the function returns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "told"),
    [(None, "returned nothing"), ("text", "returned a str"), ({1.0}, "returned a set"), (len, "returned a ")],
)
def test_a_function_that_returns_no_numbers(result, told):
    def f(a):
        a * 2.0
        return result

    message = error_of(f, dict(a=1.0))
    assert f"f ({__file__}:{f.__code__.co_firstlineno}) {told}" in message
    assert "expected numbers or arrays, or a nest of them" in message


def test_a_function_that_returns_nothing_on_one_path():
    def f(a):
        if a > 0.0:
            return a
        return None

    tape = tg.trace(f, dict(a=1.0))
    with pytest.raises(tg.TraceError, match="returned nothing"):
        tape([-1.0])
    assert tape([2.0]) == 2.0


def test_a_function_that_returns_complex_numbers():
    message = error_of(lambda a: 1j, dict(a=1.0))
    assert "returned a complex" in message


def test_callables_of_all_kinds_are_named():
    class Model:
        def __call__(self, a):
            return None

    def base(a, b):
        return None

    assert f"Model ({__file__}:" in error_of(Model(), dict(a=1.0))
    assert f"partial ({__file__}:{base.__code__.co_firstlineno})" in error_of(
        functools.partial(base, b=1), dict(a=1.0)
    )


def test_no_gradient_of_an_array():
    tape = tg.trace(lambda a: a * X, dict(a=1.0))
    with pytest.raises(
        ValueError, match=r"the gradient needs a scalar; f returns shape \(3,\): end it with .sum"
    ):
        tape.grad([1.0])


# Constants and unused parameters ----------------------------------------------------------------------------


def test_a_constant_objective_warns_and_has_a_zero_gradient():
    with pytest.warns(tg.UnusedParameterWarning, match="the result of f does not depend on a, b"):
        tape = tg.trace(lambda a, b: 3.0, dict(a=1.0, b=np.ones(2)))
    assert tape([1.0, 2.0, 3.0]) == 3.0
    gradient = tape.grad([1.0, 2.0, 3.0])
    assert gradient["a"] == 0.0
    np.testing.assert_array_equal(gradient["b"], [0.0, 0.0])


def test_an_unused_parameter_warns_where_trace_is_called():
    with pytest.warns(
        tg.UnusedParameterWarning, match="does not depend on b: its gradient there is zero"
    ) as seen:
        tape = tg.trace(lambda a, b: a**2 + np.floor(b), dict(a=1.0, b=2.0))
    assert seen[0].filename == __file__
    assert tape.grad([3.0, 4.0]) == dict(a=6.0, b=0.0)


def test_a_parameter_that_only_a_branch_uses_does_not_warn():
    tape = tg.trace(lambda a, b: a if b > 0.0 else -a, dict(a=1.0, b=2.0))
    assert tape.grad([1.0, -1.0]) == dict(a=-1.0, b=0.0)


# Parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "told"),
    [
        (dict(a=None), TypeError, "a must be a real number"),
        (dict(a="1.0"), TypeError, "a must be a real number"),
        (dict(a=1j), TypeError, "a must be a real number"),
        (dict(a=np.array([[1.0], [2.0, 3.0]], dtype=object)), TypeError, "a must be a real number"),
        (dict(a=np.nan), ValueError, "start values must be finite; these are not: a"),
        (dict(a=np.array([1.0, np.inf])), ValueError, r"these are not: a\[1\]"),
        ({}, ValueError, "params holds no numbers"),
        ([], ValueError, "params holds no numbers"),
    ],
)
def test_start_values_that_are_no_numbers(params, error, told):
    with pytest.raises(error, match=told):
        tg.trace(lambda a: a, params)


@pytest.mark.parametrize(
    ("theta", "error", "told"),
    [
        (dict(a=1.0), ValueError, r"missing \['b'\], unexpected \[\]"),
        (dict(a=1.0, b=[1.0, 2.0], c=3.0), ValueError, r"missing \[\], unexpected \['c'\]"),
        (dict(a=1.0, b=[1.0]), ValueError, r"b has shape \(1,\), expected \(2,\)"),
        ([1.0, 2.0], ValueError, "theta has 2 elements, expected 3"),
        (np.ones(4), ValueError, "theta has 4 elements, expected 3"),
        (np.ones((3, 1)), ValueError, "expected a dict of a: a number, b: an array of shape"),
        (1.0, ValueError, "expected a dict of a: a number"),
        (None, ValueError, "got NoneType"),
        ("abc", ValueError, "got str"),
        (dict(a="x", b=[1.0, 2.0]), TypeError, "a must be a real number"),
        (dict(a=1.0, b=[1.0, 2j]), TypeError, "b must be a real number"),
        (dict(a=1.0, b=[[1.0], 2.0]), TypeError, "ragged"),
        (dict(a=[1.0], b=[1.0, 2.0]), ValueError, r"a has shape \(1,\), expected \(\)"),
    ],
)
def test_a_wrong_theta(theta, error, told):
    tape = tg.trace(lambda a, b: a * b.sum(), dict(a=1.0, b=np.ones(2)))
    for method in (tape, tape.grad, tape.value_and_grad, tape.hessian):
        with pytest.raises(error, match=told):
            method(theta)


def test_arguments_that_the_function_does_not_have():
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        tg.trace(lambda a: a, dict(a=1.0, c=2.0))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        tg.trace(lambda a, b: a + b, dict(a=1.0))


# The user's own errors --------------------------------------------------------------------------------------


def test_the_functions_own_error_passes_through():
    class OutOfRange(Exception):
        pass

    own = OutOfRange("sigma is negative")

    def f(sigma):
        if sigma < 0.0:
            raise own from KeyError("k")
        return np.log(sigma)

    with pytest.raises(OutOfRange) as caught:
        tg.trace(f, dict(sigma=-1.0))
    assert caught.value is own
    assert isinstance(own.__cause__, KeyError)
    assert own.__context__ is own.__cause__ or own.__context__ is None


def test_like_a_scalar_parameter_is_numpys_error_with_our_advice():
    with pytest.raises(TypeError, match="`like` argument must be an array-like") as caught:
        tg.trace(lambda a: np.zeros(3, like=a).sum() + a, dict(a=1.0))
    assert "np.stack" in caught.value.__notes__[0]


def test_an_error_of_numpy_that_plain_numbers_meet_too():
    with pytest.raises(ValueError, match="operands could not be broadcast together") as caught:
        tg.trace(lambda v: (v + np.ones(4)).sum(), dict(v=np.ones(3)))
    assert caught.value.__context__ is None
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        tg.trace(lambda v: v[7], dict(v=np.ones(3)))
    with pytest.raises(TypeError, match="has no len"):
        tg.trace(lambda a: len(a), dict(a=1.0))
    with pytest.raises(ValueError, match="zero-size array"):
        tg.trace(lambda v: np.max(v[:0]), dict(v=np.ones(3)))


def test_a_function_that_changes_its_arguments_changes_copies():
    start, y = np.array([1.0, 2.0]), X.copy()

    def f(v, y):
        v *= 2.0
        v[0] = 5.0
        y -= 1.0
        return (v.sum() * y).sum()

    tape = tg.trace(f, dict(v=start), data=dict(y=y))
    theta = np.array([3.0, 4.0])
    for _ in range(2):
        assert tape(theta) == pytest.approx(13.0 * 1.5)
        np.testing.assert_allclose(tape.grad(theta)["v"], [0.0, 3.0])
    np.testing.assert_array_equal(theta, [3.0, 4.0])
    np.testing.assert_array_equal(start, [1.0, 2.0])
    np.testing.assert_array_equal(y, X)
    assert tape.with_data(y=X + 1.0)(theta) == pytest.approx(13.0 * 4.5)


# NaN and empty arrays ---------------------------------------------------------------------------------------


def test_nan_in_the_data():
    x = np.array([1.0, np.nan, 2.0])
    tape = tg.trace(lambda mu: ((x - mu) ** 2).sum(), dict(mu=0.0))
    with pytest.warns(tg.NonFiniteWarning, match="the value of f is NaN: the data x holds 1 NaN") as seen:
        assert np.isnan(tape([1.0]))
    assert seen[0].filename == __file__


def test_nan_that_arises_on_the_way():
    def f(a):
        y = np.log(a)  # here
        return y * 2.0

    tape = tg.trace(f, dict(a=1.0))
    with pytest.warns(tg.NonFiniteWarning, match="it arises in log") as seen:
        tape([-1.0])
    assert f"{__file__}:{line_of(f)}: `y = np.log(a)  # here`" in str(seen[0].message)


def test_nan_in_theta():
    tape = tg.trace(lambda a: a * 2.0, dict(a=1.0))
    with pytest.warns(tg.NonFiniteWarning, match="the parameter a"):
        assert np.isnan(tape([np.nan]))


def test_infinity_is_a_number():
    tape = tg.trace(lambda a: np.log(a), dict(a=1.0))
    assert tape([0.0]) == -np.inf
    assert tape([np.inf]) == np.inf


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_empty_data():
    x = np.array([])
    tape = tg.trace(lambda mu: ((x - mu) ** 2).sum() + mu, dict(mu=1.0))
    assert tape([2.0]) == 2.0
    assert tape.grad([2.0]) == dict(mu=1.0)
    mean = tg.trace(lambda mu: (x * mu).mean(), dict(mu=1.0))
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(mean([2.0]))


# The user's line, and what it calls in a package ------------------------------------------------------------


@pytest.fixture(name="package")
def installed_package(tmp_path, monkeypatch):
    """A package as if it were installed."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "of_others.py").write_text(
        "import numpy as np\n"
        "from scipy import linalg\n"
        "def draws(v):\n"
        "    return complex(v[0])\n"
        "def deeper(v):\n"
        "    return linalg.schur(np.diag(v))[0].sum()\n"
        "def keyed(v):\n"
        "    return {v.tobytes(): v}\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield __import__("of_others")
    sys.modules.pop("of_others")


@pytest.mark.parametrize(
    ("name", "line", "text", "advice"),
    [
        ("draws", 4, "return complex(v[0])", "write the value itself instead of complex"),
        ("deeper", 6, "return linalg.schur(np.diag(v))[0].sum()", "scipy.linalg takes plain numbers only"),
    ],
)
def test_the_users_line_and_that_of_a_package(package, name, line, text, advice):
    def f(v):
        return getattr(package, name)(v)  # here

    told = error_of(f, dict(v=np.ones(2)))
    own = f"{__file__}:{line_of(f)}: `return getattr(package, name)(v)  # here`"
    assert f"{own} (inside {name}, of_others.py:{line}: `{text}`)" in told
    assert advice in told
    assert ("(inside schur, scipy/linalg/" in told) == (name == "deeper")


def test_a_key_made_of_a_traced_value(package):
    def f(v):
        return len(package.keyed(v)) * v[0]  # here

    told = error_of(f, dict(v=np.array([1.0, 2.0])))
    assert f"{__file__}:{line_of(f)}" in told
    assert "of_others.py:8: `return {v.tobytes(): v}`" in told
    assert "keep by its key only what depends on data alone" in told


def test_compiled_code_is_named_as_such():
    def f(v):
        return memoryview(v)[0]  # here

    assert "compiled code, which takes plain numbers only" in error_of(f, dict(v=np.ones(2)))
