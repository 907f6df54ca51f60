"""Everything that a fit and a traced function offer, where the data are in pieces.

Each either gives what it gives in memory, or raises an error that names what it needs. The tables have every
public name.
"""

import dataclasses
import io
import pickle
import re
import sys

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import mle
from tapegrad.mle import plots
from tapegrad.mle.infer.predicted_in_pieces import PredictionsInPieces
from tapegrad.special import expit
from tapegrad.stats import norm

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

N = 3_000
RNG = np.random.default_rng(61)
X = RNG.normal(size=N)
DATA = dict(x=X, y=1.0 + 0.5 * X + RNG.normal(size=N))
NEW = np.linspace(-1.0, 1.0, 4_000)
START = dict(a=0.0, b=0.0, log_sigma=0.0)
THETA = np.array([0.3, 0.2, 0.1])
OTHER = np.array([1.0, -2.0, 0.5])


def rows(a, b, log_sigma, x, y):
    return norm.logpdf(y, a + b * x, np.exp(log_sigma))


def total(a, b, log_sigma, x, y):
    return rows(a, b, log_sigma, x, y).sum()


def constant(a, log_sigma, y):
    return norm.logpdf(y, a, np.exp(log_sigma))


def mean(a, b, log_sigma, x):
    return a + b * x


def simulate(params, rng):
    return dict(y=rng.normal(size=N))


def chunked(arrays):
    return {name: da.from_array(array, chunks=800) for name, array in arrays.items()}


class Case:
    """Fits and traced functions of the same data, at one place."""

    def __init__(self, data, new):
        self.new = dict(x=new)
        self.fit = tg.fit(rows, START, data=data)
        self.small = tg.fit(constant, dict(a=0.0, log_sigma=0.0), data=dict(y=data["y"]))
        self.held = tg.fit(rows, START, data=data, fixed="b")
        self.traced = tg.trace(total, START, data=data)
        self.rows = tg.trace(rows, START, data=data)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def memory():
    return Case(DATA, NEW)


@pytest.fixture(scope="module")
def pieces(one_thread):
    return Case(chunked(DATA), da.from_array(NEW, chunks=900))


def same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            same(found[key], value)
    elif isinstance(expected, list | tuple) and not all(isinstance(one, float | int) for one in expected):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, str | bool | None.__class__):
        assert found == expected
    else:
        expected = np.asarray(expected, dtype=float)
        found = np.asarray(found, dtype=float)
        scale = np.nanmax(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * scale)


def numbers(text):
    """A text without the time that it took, and with few digits."""
    return re.sub(r"Converged in .*", "", str(text))


# Of a fit ---------------------------------------------------------------------------------------------------

FIELDS = {
    *("params", "x", "names", "llf", "observed_info", "nobs", "converged", "nit", "nfev", "njev", "method"),
    *("model", "cov_type", "free", "cov_free", "jacobian", "path", "flat", "ends", "random_names", "modes"),
    *("modes_bse", "dropped", "quadrature"),
}
PROPERTIES = {
    *("aic", "aicc", "bic", "bse", "df_model", "df_resid", "free_bse", "free_estimates", "free_names"),
    *("has_prior", "is_fixed", "pvalues", "se_reliable", "std_errors", "success", "tvalues", "zvalues"),
}
# What tells how the fit was found, and with what.
APART = {"seconds", "message", "nhev", "kept_model", "_model"}
GIVE_THE_SAME = {
    "conf_int": lambda c: c.fit.conf_int(),
    "conf_int by profiles": lambda c: c.fit.conf_int(method="profile"),
    "conf_int for all": lambda c: c.fit.conf_int(simultaneous="max"),
    "profile": lambda c: c.fit.profile("a").interval,
    "wald_test": lambda c: c.fit.wald_test("a = 0.9").pvalue,
    "lr_test": lambda c: c.fit.lr_test(c.held).statistic,
    "lr_test of values": lambda c: c.fit.lr_test(dict(b=0.45)).pvalue,
    "score_test": lambda c: c.fit.score_test(dict(b=0.45)).pvalue,
    "score_test by outer products": lambda c: c.fit.score_test(dict(b=0.45), "opg").pvalue,
    "delta": lambda c: c.fit.delta(lambda a, b, log_sigma: a / b).bse,
    "predict in memory": lambda c: c.fit.predict(mean, data=dict(x=np.ones(3))).bse,
    "predict a sum": lambda c: c.fit.predict(lambda a, b, log_sigma, x: (a + b * x).sum(), data=c.new).bse,
    "effects": lambda c: c.fit.effects(lambda a, b, log_sigma, x: expit(a + b * x), "x").bse,
    "effects of values": lambda c: (
        c.fit.effects(lambda a, b, log_sigma, x, y: expit(a + b * x * y), dict(x=[0.0, 1.0], y=None)).bse
    ),
    "effects on other data": lambda c: (
        c.fit.effects(lambda a, b, log_sigma, x: expit(a + b * x), dict(x=[0, 1, 2]), data=c.new).x
    ),
    "forecast": lambda c: (
        c.fit.forecast(lambda a, b, log_sigma: a, lambda s, a, b, log_sigma: (s * b, s * b), 2).bse
    ),
    "limit": lambda c: c.fit.limit("a").value,
    "limit with a bound": lambda c: c.fit.limit("b", bound=0.0).value,
    "impacts": lambda c: c.fit.impacts("a").up,
    "cov_params": lambda c: c.fit.cov_params(),
    "cov_of": lambda c: c.fit.cov_of(np.eye(3)),
    "cov_of_free": lambda c: c.fit.cov_of_free(),
    "cov_where_determined": lambda c: c.fit.cov_where_determined(),
    "corr_params": lambda c: c.fit.corr_params(),
    "moves_along_flat": lambda c: c.fit.moves_along_flat(np.eye(3)),
    "diagnose": lambda c: str(c.fit.diagnose()),
    "to_dict": lambda c: sorted(c.fit.to_dict()),
    "summary": lambda c: numbers(c.fit.summary(0.1)),
    "labelled": lambda c: np.asarray(c.fit.labelled.bse),
    "renamed": lambda c: c.fit.renamed(a="intercept").names,
    "require_model": lambda c: c.fit.require_model("this").name,
    "pickle": lambda c: pickle.loads(pickle.dumps(c.fit)).bse,
    "compare": lambda c: str(mle.compare(c.fit, c.small)),
    "side_by_side": lambda c: str(mle.side_by_side(c.fit, c.small)),
}
IN_ONE_PLACE = "of all observations in one place, and the data are in pieces"
REPLACED = "data in pieces cannot be replaced: trace anew"
RAISE = {
    "pointwise": (lambda c: mle.pointwise(c.fit), f"pointwise values need .*{IN_ONE_PLACE}"),
    "pointwise at draws": (lambda c: mle.pointwise(c.fit, [THETA]), IN_ONE_PLACE),
    "scores": (lambda c: mle.scores(c.fit), f"scores need .*{IN_ONE_PLACE}"),
    "influence": (lambda c: mle.influence(c.fit), IN_ONE_PLACE),
    "vuong_test": (lambda c: mle.vuong_test(c.fit, c.small), IN_ONE_PLACE),
    "bootstrap": (
        lambda c: mle.bootstrap(c.fit, 3, seed=1),
        f"wild bootstrap need .*{IN_ONE_PLACE}",
    ),
    "parametric bootstrap": (
        lambda c: mle.bootstrap(c.fit, 3, kind="parametric", simulate=simulate, seed=1),
        REPLACED,
    ),
    "jackknife": (lambda c: mle.jackknife(c.fit), f"jackknife refits need .*{IN_ONE_PLACE}"),
    "cross_validate": (lambda c: mle.cross_validate(c.fit, 3), IN_ONE_PLACE),
    "expected_info": (lambda c: c.fit.expected_info(simulate, draws=2, seed=1), REPLACED),
    "coverage": (lambda c: c.fit.coverage(simulate, draws=2, seed=1), REPLACED),
    "check_consistency": (lambda c: mle.check_consistency(c.fit, simulate, draws=2, seed=1), REPLACED),
    "one_step_residuals": (lambda c: c.fit.one_step_residuals("y"), "keep is none of the data of the fit"),
    "random": (lambda c: c.fit.random, "has no random effects"),
    "joint_precision": (lambda c: c.fit.joint_precision(), "has no random effects"),
    "check_laplace": (lambda c: c.fit.check_laplace(), "has no random effects"),
    "CLs": (
        lambda c: c.fit.limit("b", bound=0.0, background=dict(y=DATA["y"])),
        REPLACED,
    ),
    "influence by name": (lambda c: c.fit.labelled.influence(), IN_ONE_PLACE),
    "scores by name": (lambda c: c.fit.labelled.scores(), IN_ONE_PLACE),
    "plot_influence": (lambda c: plots.plot_influence(c.fit), IN_ONE_PLACE),
}


def first_words(table):
    return {name.split(" ")[0] for name in table}


def test_the_tables_have_every_public_name_of_a_fit():
    fields = {field.name for field in dataclasses.fields(mle.FitResult)}
    assert fields == FIELDS | APART - {"kept_model"}
    names = {name for name in dir(mle.FitResult) if not name.startswith("_")} - fields
    tested = first_words(GIVE_THE_SAME) | first_words(RAISE) | {"predict", "save"}
    assert names <= tested | PROPERTIES | APART
    functions = {name for name in mle.__all__ if name[0].islower()}
    assert functions <= tested | {"fit", "load", "regression"}


@pytest.mark.parametrize("name", sorted(FIELDS | PROPERTIES))
def test_numbers_of_a_fit(name, memory, pieces):
    same(getattr(pieces.fit, name), getattr(memory.fit, name))


@pytest.mark.parametrize("name", GIVE_THE_SAME)
def test_what_needs_sums_alone_gives_the_same(name, memory, pieces):
    same(GIVE_THE_SAME[name](pieces), GIVE_THE_SAME[name](memory))


@pytest.mark.parametrize("name", RAISE)
def test_what_needs_all_rows_in_one_place_says_so(name, pieces):
    call, said = RAISE[name]
    with pytest.raises(ValueError, match=said):
        call(pieces)


def test_a_saved_fit_is_the_same(memory, pieces, tmp_path):
    mle.save(pieces.fit, tmp_path / "fit.json")
    same(mle.load(tmp_path / "fit.json").bse, memory.fit.bse)


@pytest.mark.parametrize("kind", ["opg", "HC0", "HC1", "HC3"])
def test_robust_covariances_of_fits_with_everything(kind):
    limits = dict(transforms=dict(sigma=mle.transforms.positive), logprior=lambda a, b, sigma: -0.5 * b**2)

    def positive(a, b, sigma, x, y):
        return norm.logpdf(y, a + b * x, sigma)

    start = dict(a=0.1, b=0.1, sigma=1.5)
    whole, parts = (
        tg.fit(positive, start, data=data, cov_type=kind, **limits) for data in (DATA, chunked(DATA))
    )
    same(parts.cov_params(), whole.cov_params())
    same(parts.llf, whole.llf)


def test_what_a_fit_itself_cannot_do():
    with pytest.raises(ValueError, match="cov_type='HAC' need"):
        tg.fit(rows, START, data=chunked(DATA), cov_type="HAC", cov_kwds=dict(maxlags=2))


def test_a_traced_function_is_fitted_as_it_is(pieces, memory):
    same(tg.fit(pieces.traced, START).bse, memory.fit.bse)
    same(tg.fit(pieces.traced, START).nobs, N)


def test_random_effects_are_integrated_out(memory):
    group = RNG.integers(0, 5, N)

    def joint(a, log_sigma, u, y, group):
        return norm.logpdf(y, a + u[group], np.exp(log_sigma)).sum() + norm.logpdf(u, 0.0, 1.0).sum()

    start, data = dict(a=0.0, log_sigma=0.0, u=np.zeros(5)), dict(y=DATA["y"], group=group)
    whole, parts = (tg.fit(joint, start, random="u", data=each) for each in (data, chunked(data)))
    for name in ("x", "bse", "modes", "modes_bse", "llf", "nobs"):
        same(getattr(parts, name), getattr(whole, name))
    with pytest.raises(ValueError, match="with random effects there is none"):
        tg.fit(joint, start, random="u", data=chunked(data), cov_type="HC0")


def test_formulas_need_all_rows_in_one_place():
    frames, pandas = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    pytest.importorskip("formulaic")
    table = frames.from_pandas(pandas.DataFrame(dict(**DATA, g="a")), npartitions=2)
    with pytest.raises(
        TypeError, match=r"formulas need all rows in one place, .* data\.compute\(\) gives them"
    ):
        tg.glmm("y ~ x + (1 | g)", table)


# Predictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [None, expit])
def test_predictions_are_arrays_of_dask_and_not_computed(transform, memory, pieces):
    expected = memory.fit.predict(mean, data=memory.new, transform=transform)
    found = pieces.fit.predict(mean, data=pieces.new, transform=transform)
    assert isinstance(found, PredictionsInPieces)
    assert found.value.chunks == found.bse.chunks == pieces.new["x"].chunks
    assert dask.is_dask_collection(found.value)
    np.testing.assert_allclose(found.x.compute(), expected.x, rtol=1e-13)
    np.testing.assert_allclose(found.bse.compute(), expected.bse, rtol=1e-12)
    np.testing.assert_allclose(found.conf_int(0.1).compute(), expected.conf_int(0.1), rtol=1e-12)
    np.testing.assert_allclose(
        found.frame(0.1).compute().to_numpy(), expected.frame(0.1).to_numpy(), rtol=1e-12
    )
    assert str(found) == "4,000 predictions in 5 chunks: value, bse, conf_int(), each with compute()"
    assert str(found) in found._repr_html_()


def test_predictions_of_a_table_of_dask_and_of_a_column_on_disk(memory, pieces, tmp_path):
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    table = pandas.DataFrame(dict(x=NEW, z="text"))
    expected = memory.fit.predict(mean, data=table)
    found = pieces.fit.predict(mean, data=frames.from_pandas(table, npartitions=3))
    np.testing.assert_allclose(found.bse.compute(), expected.bse, rtol=1e-12)
    np.save(tmp_path / "x.npy", NEW)
    disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    for data in (dict(x=disk), dict(x=disk[:900])):
        found = memory.fit.predict(mean, data=data)
        np.testing.assert_allclose(found.bse, expected.bse[: len(data["x"])], rtol=1e-12)
        np.testing.assert_allclose(found.conf_int(), expected.conf_int()[: len(data["x"])], rtol=1e-12)
    assert memory.fit.predict(mean, data=dict(x=disk)).frame().shape == (4_000, 4)
    table.loc[7, "x"] = np.nan
    with pytest.raises(ValueError, match=r"values are missing in x \(1\)"):
        pieces.fit.predict(mean, data=frames.from_pandas(table, npartitions=3))


def test_predictions_with_sums_in_them(memory, pieces):
    def standardised(a, b, log_sigma, x):
        return a + b * (x - x.mean()) / x.std()

    expected = memory.fit.predict(standardised, data=memory.new)
    found = pieces.fit.predict(standardised, data=pieces.new)
    np.testing.assert_allclose(found.value.compute(), expected.x, rtol=1e-12)
    np.testing.assert_allclose(found.bse.compute(), expected.bse, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "options", "error", "said"),
    [
        (lambda a, b, log_sigma, x: np.cumsum(a + b * x), {}, tg.TraceError, "cumsum at .* mixes rows"),
        (
            lambda a, b, log_sigma, x: np.stack([a * x, b * x], 1),
            {},
            ValueError,
            "are one number for each row",
        ),
        (lambda a, b, log_sigma, x: dict(u=a * x, v=b * x), {}, ValueError, "are one number for each row"),
        (mean, dict(names=["u"] * 4_000), ValueError, "names= is for predictions in memory"),
        (
            lambda a, b, log_sigma, x: (a * x).sum(),
            dict(transform=expit),
            ValueError,
            "this function adds rows up",
        ),
        (
            mean,
            dict(bias_correct=True),
            ValueError,
            "predictions with random effects need all rows in one place",
        ),
    ],
)
def test_predictions_that_cannot_be_made_in_pieces(function, options, error, said, pieces):
    with pytest.raises(error, match=said):
        pieces.fit.predict(function, data=pieces.new, **options)


def test_predictions_for_more_rows_on_disk_than_memory_should_hold(memory, tmp_path):
    disk = np.memmap(tmp_path / "x", mode="w+", dtype=float, shape=(9_000_000,))
    with pytest.raises(ValueError, match="results for 9,000,000 rows on disk do not stay on disk: ask"):
        memory.fit.predict(mean, data=dict(x=disk))


def test_intervals_for_all_predictions_together_are_refused(pieces):
    with pytest.raises(ValueError, match="simultaneous='max' needs all predictions in one place"):
        pieces.fit.predict(mean, data=pieces.new).conf_int(simultaneous="max")


# Progress ---------------------------------------------------------------------------------------------------


def test_a_line_of_progress_for_each_iteration(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    seen = []
    found = tg.fit(rows, START, data=chunked(DATA), progress=True, callback=seen.append)
    *lines, last = sys.stderr.getvalue().splitlines()
    assert len(lines) == len(seen) > 3
    for number, (line, one) in enumerate(zip(lines, seen, strict=True), 1):
        told = re.fullmatch(rf"fit rows: {number} log-likelihood (\S+) after (\S+) s", line)
        assert told is not None, line
        assert float(told[1]) == pytest.approx(one.llf, rel=1e-5)
        assert 0.0 <= float(told[2]) <= found.seconds
    assert last == f"fit rows: {len(lines)} done"


# Of a traced function ---------------------------------------------------------------------------------------

TRACED = {
    "value": lambda c: c.traced(dict(zip(START, THETA, strict=True))),
    "grad": lambda c: c.traced.grad(THETA),
    "value_and_grad": lambda c: c.traced.value_and_grad(THETA)[0],
    "value_flat": lambda c: c.traced.value_flat(THETA),
    "value_and_grad_flat": lambda c: c.traced.value_and_grad_flat(THETA)[1],
    "jvp": lambda c: c.traced.jvp(THETA, OTHER),
    "vjp": lambda c: c.traced.vjp(THETA, 2.0),
    "jacobian": lambda c: c.traced.jacobian(THETA),
    "jacobian by colours": lambda c: c.traced.jacobian(THETA, sparse=True).toarray(),
    "jacobian_flat": lambda c: c.traced.jacobian_flat(THETA),
    "hvp": lambda c: c.traced.hvp(THETA, OTHER),
    "hvp_flat": lambda c: c.traced.hvp_flat(THETA, OTHER),
    "hessian": lambda c: c.traced.hessian(THETA),
    "hessian by colours": lambda c: c.traced.hessian(THETA, sparse=True).toarray(),
    "hessian_flat": lambda c: c.traced.hessian_flat(THETA),
    "second_flat": lambda c: c.traced.second_flat(THETA, OTHER, np.eye(3)),
    "third": lambda c: c.traced.third(THETA, OTHER),
    "on": lambda c: c.traced.on(THETA, {}),
    "ravel": lambda c: c.traced.ravel(START),
    "unravel": lambda c: c.traced.unravel(THETA),
    "names": lambda c: c.traced.names,
    "nobs": lambda c: c.traced.nobs,
    "nobs of rows": lambda c: c.rows.nobs,
    "retraces": lambda c: c.traced.retraces,
    "threads": lambda c: c.traced.threads,
    "data": lambda c: sorted(c.traced.data),
    "outputs": lambda c: c.traced.outputs.names,
    "explain": lambda c: str(c.traced.explain(THETA))[:45],
    "show": lambda c: c.traced.show().html[:15],
    "source": lambda c: bool(c.traced.source()),
    "require_scalar": lambda c: c.traced.require_scalar("this"),
    "require_sums": lambda c: c.traced.require_sums(),
}
STAY = r"rows returns a number for each of 3,000 rows, which stay where they are: end it with \.sum\(\)"
WHOLE = "of total needs whole arrays, and its data are in pieces: trace it on some rows, as arrays in memory"
TRACED_RAISE = {
    "values": (lambda c: c.traced.values(THETA), f"the value of every slot {WHOLE}"),
    "show with numbers": (lambda c: c.traced.show(THETA), f"the value of every slot {WHOLE}"),
    "with_data": (lambda c: c.traced.with_data(y=DATA["y"]), REPLACED),
    "on other data": (lambda c: c.traced.on(THETA, dict(y=DATA["y"])), REPLACED),
    "value of rows": (lambda c: c.rows(THETA), STAY),
    "jvp of rows": (lambda c: c.rows.jvp(THETA, OTHER), STAY),
    "vjp of rows": (lambda c: c.rows.vjp(THETA, np.ones(N)), STAY),
    "vjp of the rows traced on": (lambda c: c.rows.vjp(THETA, np.ones(1_009)), STAY),
    "jacobian of rows": (lambda c: c.rows.jacobian(THETA), STAY),
    "jacobian of rows by colours": (lambda c: c.rows.jacobian(THETA, sparse=True), STAY),
    "jacobian_flat of rows": (lambda c: c.rows.jacobian_flat(THETA), STAY),
    "second_flat of rows": (lambda c: c.rows.second_flat(THETA, OTHER, np.eye(3)), STAY),
    "grad of rows": (lambda c: c.rows.grad(THETA), r"returns shape \(3000,\): end it with"),
    "hessian of rows": (lambda c: c.rows.hessian(THETA), r"returns shape \(3000,\): end it with"),
    "explain of rows": (lambda c: c.rows.explain(THETA), STAY),
    "in another trace": (
        lambda c: tg.trace(lambda a: c.traced(dict(a=a, b=0.1, log_sigma=0.2)), 0.3),
        "total sums over data in pieces, and cannot be part of another traced function",
    ),
}
# They tell of the rows that were traced on, or of how the function is run.
TELL = {
    "tape",
    "short_tape",
    "grad_tape",
    "hessian_tape",
    "plan",
    "backend",
    "is_in_pieces",
    "has_quick_hessian",
}
TELL |= {"has_quick_hessian", "rounding_flat", "returns_rows", "kept", "of_each_row", "run"}


def test_the_tables_have_every_public_name_of_a_traced_function():
    names = {name for name in dir(tg.TracedFunction) if not name.startswith("_")}
    assert names == (first_words(TRACED) | first_words(TRACED_RAISE) | TELL) - {"value", "in"}


@pytest.mark.parametrize("name", TRACED)
def test_a_traced_function_gives_the_same(name, memory, pieces):
    same(TRACED[name](pieces), TRACED[name](memory))


@pytest.mark.parametrize("name", TRACED_RAISE)
def test_what_a_traced_function_cannot_do_says_so(name, pieces):
    call, said = TRACED_RAISE[name]
    with pytest.raises((ValueError, tg.TraceError), match=said):
        call(pieces)


def test_data_in_pieces_show_as_such(pieces):
    assert str(pieces.traced.data["y"]) == "<y: 3,000 rows in pieces>"
