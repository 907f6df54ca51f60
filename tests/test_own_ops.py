"""Ops that users register: values, derivatives, backends, storage, and what is refused."""

import pickle
import re
import warnings

import numpy as np
import pytest
from mpmath import coth, diff, mp
from scipy import special

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.ops import NUMPY, OPS
from tapegrad.ops.own import _definitions
from tapegrad.testing import check_op

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def forgotten():
    """What a test registers is gone after it."""
    names, functions = set(OPS), set(NUMPY)
    yield
    for name in set(OPS) - names:
        del OPS[name], _definitions[name]
    for function in set(NUMPY) - functions:
        del NUMPY[function]


def langevin(**options):
    return tg.ops.register(
        "langevin",
        lambda x: 1.0 / np.tanh(x) - 1.0 / x,
        lambda out, x: 1.0 - out**2 - 2.0 * out / x,
        domain=(0.5, 4.0),
        **options,
    )


def hill(**options):
    """A function of two inputs, whose derivatives are written with NumPy."""
    return tg.ops.register(
        "hill",
        lambda x, n: x**n / (1.0 + x**n),
        lambda out, x, n: n / x * out * (1.0 - out),
        lambda out, x, n: np.where(x > 0.0, np.log(x), 0.0) * out * (1.0 - out),
        domain=((0.3, 2.0), (0.5, 3.0)),
        **options,
    )


def test_it_is_the_function_on_plain_numbers():
    op = langevin()
    x = np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(op(x), 1.0 / np.tanh(x) - 1.0 / x, rtol=0.0)
    assert type(op(1.0)) is np.float64


def test_derivatives_of_every_order():
    op = langevin()
    traced = tg.trace(lambda a: op(a), dict(a=1.3))
    with mp.workdps(40):
        value, *slopes = [float(diff(lambda x: coth(x) - 1 / x, mp.mpf(1.3), n)) for n in range(4)]
    np.testing.assert_allclose(traced(a=1.3), value, rtol=1e-13)
    np.testing.assert_allclose(traced.grad(a=1.3)["a"], slopes[0], rtol=1e-12)
    np.testing.assert_allclose(traced.hessian(a=1.3), [[slopes[1]]], rtol=1e-11)
    np.testing.assert_allclose(traced.third([1.3], [1.0]), [[slopes[2]]], rtol=1e-10)


@pytest.mark.parametrize(("make", "order"), [(langevin, 3), (hill, 1)])
def test_the_table_of_shapes(make, order):
    check_op(make(), order)


def test_a_form_in_c():
    if compiler() is None:
        pytest.skip("no C compiler")
    op = langevin(c="1.0 / tanh({0}) - 1.0 / ({0})")
    check_op(op, 1)
    x = np.linspace(0.5, 3.0, 50)
    traced = tg.trace(lambda a: op(a * x).sum(), dict(a=1.0), backend="c")
    assert "1.0 / tanh(" in traced.source()
    np.testing.assert_allclose(traced(a=1.1), (1.0 / np.tanh(1.1 * x) - 1.0 / (1.1 * x)).sum(), rtol=1e-13)


@needs_compiler
@pytest.mark.filterwarnings("ignore::tapegrad.LongTapeWarning")
def test_long_stretches_in_c():
    """Such stretches are run by a machine that is made once, without ops that come later."""
    op = langevin(c="1.0 / tanh({0}) - 1.0 / ({0})")

    def many(a):
        total = 0.0
        for i in range(400):
            total = total + op(a + i % 7) * (1.0 + np.sin(i + a))
        return total

    traced = tg.trace(many, dict(a=1.0), backend="c", reroll=False)
    np.testing.assert_allclose(traced(a=1.2), many(1.2), rtol=1e-12)


def test_decisions_have_the_bits_of_the_kernel():
    """A form in C may round otherwise, so whatever decides is computed by the function itself."""
    if compiler() is None:
        pytest.skip("no C compiler")
    op = tg.ops.register("third_of", lambda x: x / 3.0, 1.0 / 3.0, c="{0} * (1.0 / 3.0)")

    def f(a):
        third = op(a)
        return third + 1.0 if third == a / 3.0 else third - 1.0

    traced = tg.trace(f, dict(a=5.0), backend="c")
    for a in np.linspace(1.0, 9.0, 50):
        assert traced(a=a) == a / 3.0 + 1.0
    assert traced.retraces == 0


def test_in_loops_and_fits():
    op = langevin()
    field = np.linspace(0.5, 4.0, 30)
    rng = np.random.default_rng(5)
    y = 2.0 * op(1.3 * field) + 0.05 * rng.standard_normal(30)

    def loglik(scale, mu):
        return (-0.5 * ((y - scale * op(mu * field)) / 0.05) ** 2).sum()

    result = tg.fit(loglik, dict(scale=1.0, mu=1.0))
    assert result.converged
    np.testing.assert_allclose(result.x, [2.0, 1.3], atol=0.1)

    def scanned(a):
        return tg.scan(lambda s, x: (op(s + a * x), s), 1.0, field)[0]

    def plain(a):
        s = 1.0
        for x in field:
            s = op(s + a * x)
        return s

    traced = tg.trace(scanned, dict(a=0.7))
    np.testing.assert_allclose(traced(a=0.8), plain(0.8), rtol=1e-14)
    tg.testing.check_grads(scanned, dict(a=0.7), order=2)


def test_an_input_without_a_derivative():
    op = tg.ops.register(
        "powered", lambda n, x: x**n, None, lambda out, n, x: n * x ** (n - 1), domain=(1.0, 2.0)
    )
    check_op(op, 1)
    traced = tg.trace(lambda x: op(3.0, x), dict(x=2.0))
    assert traced.grad(x=2.0)["x"] == 12.0


def test_it_stands_for_a_ufunc():
    with pytest.raises(tg.TraceError):
        tg.trace(lambda a: special.itstruve0(a), dict(a=1.0))
    op = tg.ops.register(
        "own", special.itstruve0, lambda out, x: special.struve(0.0, x), stands_for=special.itstruve0
    )
    traced = tg.trace(lambda a: special.itstruve0(a * np.ones(3)).sum(), dict(a=1.0))
    assert traced.tape.entries[1].op is op
    tg.testing.check_grads(lambda a: special.itstruve0(a), dict(a=1.3))


# Storage ----------------------------------------------------------------------------------------------------


def test_stored_tapes(tmp_path, monkeypatch):
    op = langevin()
    tape = tg.trace(lambda a: op(a) * 2.0, dict(a=1.0)).tape
    tg.save(tape, tmp_path / "own.tape")
    assert str(tg.load(tmp_path / "own.tape")) == str(tape)
    pickled = pickle.dumps(tape)
    assert pickle.loads(pickled).entries[0].op is op
    monkeypatch.delitem(OPS, "langevin")
    words = "unknown op 'langevin'; an op of your own is registered before tapes are read"
    with pytest.raises(tg.mle.StorageError, match=words):
        tg.load(tmp_path / "own.tape")
    with pytest.raises(KeyError, match="no op 'langevin'"):
        pickle.loads(pickled)


# What is refused --------------------------------------------------------------------------------------------


def identity(x):
    return x


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (
            ("exp", np.exp, lambda out, x: out),
            {},
            ValueError,
            "'exp' is an op of tapegrad: choose another name",
        ),
        (("a b", identity, 1.0), {}, ValueError, "the name of an op is an identifier in ASCII"),
        (("for", identity, 1.0), {}, ValueError, "the name of an op is an identifier"),
        (("own", 3.0, 1.0), {}, TypeError, "'own' needs a function, not 3.0"),
        (("own", identity, "x"), {}, TypeError, "a derivative of 'own' is a function, a number or None"),
        (("own", identity), {}, ValueError, "'own' takes 1 input, and 0 derivatives are given"),
        (("own", np.hypot, 1.0), {}, ValueError, "'own' takes 2 inputs, and 1 derivatives are given"),
        (("own", identity, 1.0), {"domain": [(0, 1), (0, 1)]}, ValueError, "and the domain is of 2"),
        (("own", np.sum, 1.0), {}, ValueError, "own gives shape () of inputs that broadcast to (3,)"),
        (
            ("own", identity, lambda out, x: np.ones(2)),
            {},
            ValueError,
            "the derivative of own in input 0 has shape (2,) where the inputs broadcast to ()",
        ),
        (("own", lambda x: np.log(x) + x, lambda out, x: 1 / x), {}, ValueError, "own is not finite near"),
        (
            ("own", np.abs, lambda out, x: x / (x - x)),
            {},
            ValueError,
            "the derivative of own in input 0 is not finite near",
        ),
        (("own", identity, 1.0), {"c": "1.0"}, ValueError, "the form in C has no place for each input"),
        (
            ("own", identity, 1.0),
            {"stands_for": np.sum},
            TypeError,
            "only ufuncs tell what they are called with",
        ),
        (("own", identity, 1.0), {"stands_for": np.exp}, ValueError, "exp has a rule already"),
    ],
)
def test_what_is_refused(arguments, options, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of the functions themselves
        with pytest.raises(error, match=re.escape(words)):
            tg.ops.register(*arguments, **options)
    assert "own" not in OPS


def test_a_cell_that_is_run_again():
    first = langevin()
    assert langevin() is first
    with pytest.raises(ValueError, match="'langevin' is an op of yours with another definition"):
        tg.ops.register("langevin", lambda x: x, 1.0)
    with pytest.raises(ValueError, match="another definition"):
        langevin(c="{0}")


def test_a_derivative_that_cannot_be_traced():
    op = tg.ops.register("own", lambda x: x * x, lambda out, x: 2.0 * np.asarray(x))
    with pytest.raises(
        tg.TraceError, match="the derivative of the op own uses a function that asks for plain numbers, which"
    ):
        tg.trace(lambda a: op(a), dict(a=1.0)).grad(a=1.0)
    branch = tg.ops.register("branch", lambda x: x * x, lambda out, x: 2.0 * x if np.all(x > -9.0) else 0.0)
    with pytest.raises(tg.TraceError):
        tg.trace(lambda a: branch(a), dict(a=1.0)).grad(a=1.0)


def test_a_wrong_derivative_is_found():
    op = tg.ops.register("wrong", lambda x: x**3, lambda out, x: 2.0 * x**2, domain=(0.5, 1.0))
    with pytest.raises(AssertionError, match=r"the gradient of .* by differences"):
        check_op(op)
    constant = tg.ops.register(
        "fixed_order", lambda n, x: n * x, None, lambda out, n, x: n, domain=(0.5, 1.0)
    )
    check_op(constant, 1)
    with pytest.raises(ValueError, match="has no domain"):
        check_op(OPS["sum"])
