"""Mixed models by formula, held against R's glmmTMB and lme4, statsmodels, and closed forms."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from benchmarks.laplace import models
from tapegrad.mle import check_consistency
from tapegrad.stats import norm

pd = pytest.importorskip("pandas")
pytest.importorskip("formulaic")

FOLDER = Path(__file__).parent / "data" / "glmm"
STORED = json.loads(gzip.decompress((FOLDER / "models.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def sleep():
    """Reaction times after days of little sleep, the data of lme4."""
    told = models.read("glmmTMB_sleepstudy")["data_frame"]
    subject = pd.Categorical.from_codes(told["Subject"]["codes0"], categories=told["Subject"]["levels"])
    return pd.DataFrame(dict(Reaction=told["Reaction"], Days=told["Days"], Subject=subject))


@pytest.fixture(scope="module")
def slopes(sleep):
    return tg.glmm("Reaction ~ Days + (Days | Subject)", sleep)


# Against R --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORED)
def test_fits_are_those_of_glmmtmb(name):
    """Its optimiser stops up to 1e-5 standard errors short of the maximum."""
    told = STORED[name]
    result = tg.glmm(data=told["data"], **told["fit"])
    assert result.converged
    assert result.llf == pytest.approx(told["llf"], rel=1e-10)
    errors = np.array(told["se"])
    _, estimates, bse = result.fixed_effects
    assert (np.abs(estimates - told["coefficients"]) < 5e-5 * errors).all()
    assert bse == pytest.approx(errors, rel=2e-5)
    components = result.variance_components
    spreads = sorted(float(sd) for one in components[: len(told["sd"])] for sd in one.sd)
    assert spreads == pytest.approx(sorted(np.concatenate(told["sd"])), rel=2e-5)
    found, expected = (
        np.concatenate([np.ravel(one) for one in table])
        for table in ([c.corr for c in components[: len(told["sd"])]], told["corr"])
    )
    assert sorted(found) == pytest.approx(sorted(expected), abs=2e-5)
    if components[-1].group in ("Residual", "nbinom2", "gamma", "beta"):
        own = components[-1].sd[0]
        sigma = 1.0 / np.sqrt(own) if told["fit"].get("family") == "gamma" else own
        assert sigma == pytest.approx(told["sigma"], rel=2e-5)
    if "nested" not in name:  # glmmTMB has the effects of nested groups in another order
        assert result.random.x == pytest.approx(told["modes"], abs=1e-5)


def test_stored_models_of_glmmtmb_by_formula(slopes):
    told = models.read("glmmTMB_sleepstudy")
    assert slopes.llf == pytest.approx(-told["objective"], rel=1e-10)
    assert slopes.x[:2] == pytest.approx(told["estimate"][:2], rel=2e-6)  # it stops short of the maximum
    assert slopes.bse[:2] == pytest.approx(told["se"][:2], rel=1e-5)
    assert slopes.random.x == pytest.approx(told["random_mode"], rel=2e-4)
    told = models.read("glmmTMB_salamanders_pois")
    x = models.array(told["X"])
    data = dict(
        count=told["y"],
        mined=np.where(x[:, 1] == 1.0, "no", "yes"),
        site=models.columns(models.array(told["Z"]))[0][:, 0],
    )
    result = tg.glmm("count ~ C(mined, contr.treatment('yes')) + (1 | site)", data, family="poisson")
    assert result.llf == pytest.approx(-told["objective"], rel=1e-10)
    estimates = [*result.x[:2], np.log(result.params["sd_site"])]
    assert estimates == pytest.approx(told["estimate"], rel=1e-6)
    assert result.free_bse == pytest.approx(told["se"], rel=1e-5)
    assert result.random.x == pytest.approx(told["random_mode"], rel=1e-5, abs=1e-6)


def test_reml_is_that_of_the_paper_on_lme4(sleep):
    """D. Bates, M. Maechler, B. Bolker and S. Walker, Journal of Statistical Software 67 (2015), page 30."""
    result = tg.glmm("Reaction ~ Days + (Days | Subject)", sleep, REML=True)
    assert -2.0 * result.llf == pytest.approx(1743.6, abs=0.05)
    names, x, bse = result.fixed_effects
    assert names == ("Intercept", "Days")
    assert x == pytest.approx([251.405, 10.467], abs=5e-4)
    assert bse == pytest.approx([6.825, 1.546], abs=5e-4)
    subject, residual = result.variance_components
    assert subject.sd == pytest.approx([24.740, 5.922], abs=2e-3)
    assert subject.corr[0, 1] == pytest.approx(0.07, abs=5e-3)
    assert residual.sd == pytest.approx([25.592], abs=1e-3)
    text = str(result.summary())
    assert "restricted maximum likelihood" in text
    assert "Intercept  251.405105    6.82455" in text


def test_deviances_of_the_paper_on_lme4(sleep):
    """Its page 35: -2 log L of the models with and without the correlation, 1751.9 and 1752.0."""
    one = tg.glmm("Reaction ~ Days + (Days | Subject)", sleep)
    other = tg.glmm("Reaction ~ Days + (Days || Subject)", sleep)
    assert [-2.0 * one.llf, -2.0 * other.llf] == pytest.approx([1751.9, 1752.0], abs=0.05)
    assert one.lr_test(other).pvalue == pytest.approx(0.8004, abs=2e-4)
    split = tg.glmm("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep)
    assert split.llf == pytest.approx(other.llf, rel=1e-12)
    assert other.random["Subject[308, Days]"] == pytest.approx(split.random["Subject[308, Days]"], rel=1e-6)


@pytest.mark.parametrize("is_restricted", [False, True])
def test_linear_mixed_models_are_those_of_statsmodels(sleep, is_restricted):
    mixedlm = pytest.importorskip("statsmodels.formula.api").mixedlm
    model = mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~ Days")
    told = model.fit(reml=is_restricted, method="bfgs", gtol=1e-9)
    result = tg.glmm("Reaction ~ Days + (Days | Subject)", sleep, REML=is_restricted)
    _, x, bse = result.fixed_effects
    assert x == pytest.approx(told.fe_params.to_numpy(), rel=1e-7)
    assert bse == pytest.approx(told.bse_fe.to_numpy(), rel=1e-4)
    assert result.llf == pytest.approx(told.llf, rel=1e-9)
    subject, residual = result.variance_components
    assert subject.cov == pytest.approx(told.cov_re.to_numpy(), rel=2e-3, abs=0.02)
    assert residual.sd[0] ** 2 == pytest.approx(told.scale, rel=1e-4)
    effects = np.array([told.random_effects[name] for name in sleep["Subject"].cat.categories])
    found = result.random_effects["Subject"]
    assert found.to_numpy() == pytest.approx(effects, rel=1e-3, abs=5e-3)
    assert list(found.columns) == ["Intercept", "Days"]


# Closed forms of linear mixed models ------------------------------------------------------------------------


def test_balanced_nested_model_is_the_analysis_of_variance():
    """REML of balanced data: the variances are those of the mean squares. Five batches with three samples
    each, measured twice; S. Searle, G. Casella and C. McCulloch, Variance Components (1992), section 4.3."""
    rng = np.random.default_rng(4)
    a, b, n = 5, 3, 2
    batch, sample = np.repeat(np.arange(a), b * n), np.tile(np.repeat(np.arange(b), n), a)
    y = 3.0 * rng.normal(size=a)[batch] + 2.0 * rng.normal(size=(a, b))[batch, sample] + rng.normal(size=30)
    result = tg.glmm("y ~ 1 + (1 | batch/sample)", dict(y=y, batch=batch, sample=sample), REML=True)
    cells = y.reshape(a, b, n)
    within = ((cells - cells.mean(axis=2, keepdims=True)) ** 2).sum() / (a * b * (n - 1))
    means = cells.mean(axis=2)
    samples = n * ((means - means.mean(axis=1, keepdims=True)) ** 2).sum() / (a * (b - 1))
    batches = b * n * ((means.mean(axis=1) - y.mean()) ** 2).sum() / (a - 1)
    variances = [(batches - samples) / (b * n), (samples - within) / n, within]
    assert [one.sd[0] ** 2 for one in result.variance_components] == pytest.approx(variances, rel=1e-6)
    names, x, bse = result.fixed_effects
    assert names == ("Intercept",)
    assert x == pytest.approx([y.mean()], rel=1e-10)
    assert bse == pytest.approx([np.sqrt(batches / y.size)], rel=1e-6)
    assert result.random.names[6] == "batch:sample[0:0]"


def test_predictions_are_the_best_linear_unbiased_ones(sleep, slopes):
    """Henderson's equations at the variances that were estimated, with what these add to the errors left
    out: the design is balanced, so that only the modes of the random effects move with the variances."""
    subject, residual = slopes.variance_components
    z, group = np.column_stack([np.ones(180), sleep["Days"]]), sleep["Subject"].cat.codes.to_numpy()
    wide = np.zeros((180, 36))
    for column in (0, 1):
        wide[np.arange(180), 2 * group + column] = z[:, column]
    cov = wide @ np.kron(np.eye(18), subject.cov) @ wide.T + residual.sd[0] ** 2 * np.eye(180)
    inverse = np.linalg.inv(cov)
    beta = np.linalg.solve(z.T @ inverse @ z, z.T @ inverse @ sleep["Reaction"])
    u = np.kron(np.eye(18), subject.cov) @ wide.T @ inverse @ (sleep["Reaction"] - z @ beta)
    assert slopes.predict().x == pytest.approx(z @ beta + wide @ u, rel=1e-8)
    rows = pd.DataFrame(dict(Days=[0, 4, 4], Subject=["308", "new", "other"]), index=["old", "one", "two"])
    typical, spread, mean = (slopes.predict(rows, new_groups=kind) for kind in ("zero", "spread", "mean"))
    assert typical.names == ("old", "one", "two")
    assert typical.x[1:] == pytest.approx([beta @ [1, 4]] * 2)
    assert np.array_equal(typical.x, spread.x)
    assert mean.x == pytest.approx(typical.x)
    fixed = np.linalg.inv(z.T @ inverse @ z)
    at = np.array([1.0, 4.0])
    assert typical.bse[1] ** 2 == pytest.approx(at @ fixed @ at, rel=1e-6)
    assert spread.cov[1, 1] == pytest.approx(at @ (fixed + subject.cov) @ at, rel=1e-6)
    assert spread.cov[1, 2] == pytest.approx(typical.cov[1, 2])  # two groups, and nothing in common
    again = slopes.predict(rows.assign(Subject=["308", "new", "new"]), new_groups="spread")
    assert again.cov[1, 2] == pytest.approx(again.cov[1, 1])
    with pytest.raises(ValueError, match="the fit has not seen Subject new, other"):
        slopes.predict(rows)
    assert slopes.predict(rows, population=True).x == pytest.approx(typical.x - [*(z[:1] @ u[:2]), 0.0, 0.0])
    assert slopes.predict(lambda **all_of_them: all_of_them["beta"][0]).x == pytest.approx(beta[:1])


def test_means_over_new_groups():
    """exp of a normal number has a known mean, and so has a probit: the normal distribution function."""
    told = STORED["poisson_nested"]
    result = tg.glmm(data=told["data"], **told["fit"])
    rows = dict(x=[0.3], a=["new"], b=["r0"], time=[2.0])
    eta = result.predict(rows, which="linear", new_groups="zero").x
    assert eta == pytest.approx(result.x[:2] @ [1.0, 0.3] + np.log(2.0))
    variance = result.params["sd_a"] ** 2 + result.params["sd_a_b"] ** 2
    assert result.predict(rows, new_groups="mean").x == pytest.approx(np.exp(eta + 0.5 * variance), rel=1e-9)
    spread = result.predict(rows, new_groups="spread")
    typical = result.predict(rows, new_groups="zero")
    assert spread.cov - typical.cov == pytest.approx(np.exp(2.0 * eta[:, None]) * variance)
    told = STORED["bernoulli_probit"]
    result = tg.glmm(data=told["data"], **told["fit"])
    rows = dict(x=[-0.5], a=["new"])
    eta = result.predict(rows, which="linear", new_groups="zero").x
    expected = norm.cdf(eta / np.sqrt(1.0 + result.params["sd_a"] ** 2))
    assert result.predict(rows, new_groups="mean").x == pytest.approx(expected, rel=1e-9)


def test_predictions_with_zeros():
    told = STORED["nbinom2_zi"]
    result = tg.glmm(data=told["data"], **told["fit"])
    rows = {name: values[:3] for name, values in told["data"].items()}
    zero, rest, mean = (result.predict(rows, which=kind).x for kind in ("zero", "conditional", "mean"))
    eta = result.predict(rows, which="zero_linear").x
    assert eta == pytest.approx(
        result.params["beta_zi"][0] + result.params["beta_zi"][1] * np.array(rows["x"])
    )
    assert zero == pytest.approx(1.0 / (1.0 + np.exp(-eta)))
    assert mean == pytest.approx((1.0 - zero) * rest)
    assert result.predict().x[:3] == pytest.approx(mean)
    with pytest.raises(ValueError, match="categories outside"):
        result.predict({**rows, "kind": ["low", "mid", "none"]})


# The source, and what comes with it -------------------------------------------------------------------------


def test_the_source_is_what_is_fitted(sleep, slopes):
    model = slopes.require_mixed("a test")
    names = dict(model.arrays)
    exec(model.joint_source(), names)
    assert names["joint"] is not model.joint
    again = tg.fit(
        names["joint"], model.start, data=model.data, random=model.random, transforms=model.transforms
    )
    assert np.array_equal(again.x, slopes.x)
    values = {**slopes.params, "b_Subject": slopes.random["Subject"].reshape(18, 2)}
    plain = model.joint(**values, **model.data)
    assert plain == names["joint"](**values, **model.data)
    assert "def joint(beta, sigma, sd_Subject, theta_Subject, b_Subject, Reaction):" in model.joint_source()


def test_errors_of_the_fit_are_in_the_formula_s_words():
    data = dict(y=[0, 0, 0, 20], x=[0.0, 1.0, 2.0, 3.0], g=["a", "a", "b", "b"])
    with pytest.raises(ValueError, match=r"nan at the start \(Intercept=-3.4, x=6, sd_g=0.5\)"):
        tg.glmm("y ~ x + (1 | g)", data, family="poisson", link="identity")


def test_columns_of_any_name():
    """Names that are no identifiers, or those of what the source uses."""
    told = STORED["bernoulli_probit"]["data"]
    data = {"class": told["z"], "dose (mg)": told["x"], "X": told["a"]}
    result = tg.glmm("class ~ `dose (mg)` + (1 | X)", data, family="binomial", link="probit")
    assert result.llf == pytest.approx(STORED["bernoulli_probit"]["llf"])
    assert result.names == ("Intercept", "dose (mg)", "sd_X")
    assert result.random.names[0] == "X[p0]"
    named = {**STORED["nbinom2_zi"]["data"], "size": STORED["nbinom2_zi"]["data"]["x"]}
    result = tg.glmm("y ~ size + (1 | a)", named, family="nbinom2")
    assert result.names == ("Intercept", "size", "size (nbinom2)", "sd_a")


def test_missing_values_and_two_categories():
    told = STORED["bernoulli_probit"]["data"]
    frame = pd.DataFrame(told)
    frame["z"] = np.where(frame["z"] == 1, "yes", "no")
    holes = frame.assign(x=frame["x"].where(frame.index != 5), a=frame["a"].where(frame.index != 7))
    with pytest.raises(ValueError, match=r"2 of 240 rows have missing values: x \(1\), a \(1\)"):
        tg.glmm("z ~ x + (1 | a)", holes, family="binomial")
    result = tg.glmm("z ~ x + (1 | a)", holes, family="binomial", missing="drop")
    kept = pd.DataFrame(told).drop(index=[5, 7])
    assert result.llf == tg.glmm("z ~ x + (1 | a)", kept, family="binomial").llf
    assert "2 rows with missing values left out" in str(result.summary())


def test_groups_stay_blocks(slopes):
    """Correlated effects meet within their group alone, so that any number of groups is fast."""
    precision = slopes.joint_precision()[len(slopes.x) :, len(slopes.x) :]
    assert precision.nnz == 4 * 18


def test_a_predictor_without_columns():
    """Random effects alone, categories that have no rows, and a fit that was pickled."""
    told = STORED["bernoulli_probit"]["data"]
    result = tg.glmm("z ~ 0 + (1 | a)", told, family="binomial")
    assert result.names == ("sd_a",)
    assert "X" not in result.joint_source()
    assert result.predict(dict(a=["new"]), new_groups="zero").x == pytest.approx([0.5])
    assert set(np.unique(result.simulator(result.params, np.random.default_rng(1))["z"])) == {0.0, 1.0}
    kinds = pd.Categorical(
        np.where(np.array(told["x"]) > 0.0, "high", "low"), categories=["low", "mid", "high"]
    )
    result = tg.glmm("z ~ kind + (1 | a)", {**told, "kind": kinds}, family="binomial")
    assert result.names == ("Intercept", "kind[T.high]", "sd_a")
    again = pickle.loads(pickle.dumps(result))
    assert "kind[T.high]" in str(again.summary())
    with pytest.raises(ValueError, match="the source needs the model"):
        again.joint_source()
    with pytest.raises(ValueError, match="nothing is left of the linear predictor"):
        tg.glmm("z ~ x + (1 | a)", told, family="binomial", zi="~ 0")


def test_simulated_responses_are_those_of_the_model():
    """The mean of the gradient over simulated data is 0 where Laplace's method is good enough."""
    for name in ("gaussian_diagonal", "nbinom2_zi", "binomial_crossed"):
        told = STORED[name]
        result = tg.glmm(data=told["data"], **told["fit"])
        found = check_consistency(result, result.simulator, draws=40, seed=2)
        assert found.pvalue > 0.001
        assert found.joint.pvalue > 0.001
    told = STORED["gaussian_weights"]
    weighted = tg.glmm(data=told["data"], **told["fit"])
    with pytest.raises(ValueError, match="weighted log-likelihoods"):
        weighted.simulator(weighted.params, np.random.default_rng(1))


def test_a_summary_has_both_tables(slopes):
    text = str(slopes.summary())
    assert "Mixed model by maximum likelihood: Reaction ~ Days + (Days | Subject)" in text
    assert "family: gaussian (identity)" in text
    assert "Groups    Effect     Std. Dev.  Std. Error   Corr" in text
    assert "          Days          5.7168       1.187  0.081" in text
    assert "Random effects integrated out by Laplace's method; groups: 18 Subject" in text
    assert "<table>" in slopes.summary().as_html()


def test_a_fit_is_stored(slopes, tmp_path):
    slopes.save(tmp_path / "fit.json")
    stored = tg.load(tmp_path / "fit.json")
    assert stored.names == slopes.names
    assert stored.random["Subject[308, Days]"] == slopes.random["Subject[308, Days]"]


def test_a_variance_at_the_boundary_is_told_in_the_formula_s_words():
    data = dict(y=np.tile([-1.0, 1.0, 0.5, -0.5], 6), x=np.tile([0.0, 1.0], 12), plot=np.repeat(range(6), 4))
    with pytest.warns(tg.ConvergenceWarning, match=r"levels off in log\(sd_plot\[x\]\)"):
        result = tg.glmm("y ~ x + (0 + x | plot)", data)
    assert not result.converged
    assert np.isnan(result.bse[-1])


# What cannot be ---------------------------------------------------------------------------------------------

DATA = dict(
    y=[3, 0, 2, 5, 1, 4, 2, 2], x=np.arange(8.0), g=list("aabbccdd"), h=list("ababcdcd"), one=["k"] * 8
)
REFUSED = [
    ("y ~ x + (1 | gg)", {}, "no column 'gg'; did you mean 'g'"),
    ("y ~ X + (1 | g)", {}, "no column 'X'; did you mean 'x'"),
    ("y ~ x + (1 | one)", {}, "the grouping one has one level, k"),
    ("y ~ x", {}, "no random term in 'y ~ x'"),
    ("y ~ x + 1 | g", {}, "in brackets of its own"),
    ("y ~ x:(1 | g)", {}, "in brackets of its own"),
    ("y ~ x + (1 | g", {}, "not closed"),
    ("x + (1 | g)", {}, "'response ~ x"),
    ("y ~ x + ar1(x | g)", {}, "covariance structure ar1"),
    ("y ~ x + (1 | log(g))", {}, "no column's name"),
    ("y ~ x - (1 | g)", {}, "cannot be taken away"),
    ("y ~ x + (0 | g)", {}, "has no effects"),
    ("y ~ x + (1 | g) + (1 | g:h)", {}, "8 random effects for 8 rows"),
    ("y ~ x + I(2 * x) + (1 | g)", dict(family="poisson"), "columns x, I\\(2 \\* x\\) depend on each other"),
    ("y ~ log(x - 9) + (1 | g)", dict(family="poisson"), "log"),
    ("y ~ x + (1 | g)", dict(family="poison"), "did you mean 'poisson'"),
    ("y ~ x + (1 | g)", dict(family="poisson", link="logit"), "has no 'logit'"),
    ("y ~ x + (1 | g)", dict(family="poisson", REML=True), "REML"),
    ("y ~ x + (1 | g)", dict(zi="~ 1"), "zi"),
    ("y ~ x + (1 | g)", dict(family="binomial"), "must be 0 or 1"),
    ("y ~ x + (1 | g)", dict(family="gamma"), "must be numbers above 0; it is 0 in row 1"),
    ("y ~ x + (1 | g)", dict(family="beta"), "between 0 and 1"),
    ("g ~ x + (1 | h)", {}, "is a number; it has the categories a, b, c, d"),
    ("y ~ x + (1 | g)", dict(family="poisson", offset=[1.0]), r"offset must have shape \(8,\)"),
    ("y ~ x + (1 | g)", dict(family="poisson", weights=-np.ones(8)), "must not be negative"),
    ("cbind(y, 5 - y) ~ x + (1 | g)", {}, "family='binomial'"),
    ("cbind(y, 4 - y) ~ x + (1 | g)", dict(family="binomial"), "4 - y must be counts; it is -1 in row 3"),
    ("y ~ x + (1 | g)", dict(missing="skip"), "'raise' or 'drop'"),
]


@pytest.mark.parametrize(("formula", "options", "told"), REFUSED)
def test_what_cannot_be_is_refused(formula, options, told):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=told):
        tg.glmm(formula, DATA, **options)


# Names of random effects without a formula ------------------------------------------------------------------


def test_groups_carry_their_names():
    """An index of names, and names afterwards."""
    y, towns = np.array([[1.2, 0.7], [-0.4, 0.3], [2.2, 1.5]]), ["Oslo", "Bergen", "Tromso"]

    def joint(mu, log_tau, u):
        return norm.logpdf(u, 0.0, np.exp(log_tau)).sum() + norm.logpdf(y, mu + u[:, None], 0.5).sum()

    plain = tg.fit(joint, dict(mu=0.0, log_tau=0.0, u=np.zeros(3)), random="u")
    named = tg.fit(joint, dict(mu=0.0, log_tau=0.0, u=pd.Series(0.0, index=towns)), random="u")
    assert named.random.names == ("u[Oslo]", "u[Bergen]", "u[Tromso]")
    assert named.random["u[Bergen]"] == plain.random["u[1]"]
    assert named.labelled.random.loc["u[Bergen]", "mode"] == plain.random["u[1]"]
    assert list(named.labelled.random["se"]) == list(plain.random.bse)
    assert plain.renamed(u=[f"town[{name}]" for name in towns]).random["town"] == pytest.approx(
        plain.random.x
    )
    assert plain.renamed(u=towns).random.names == named.random.names
    for one in (named, plain.renamed(u=towns)):
        level = one.delta(lambda mu, u: mu + u)
        assert level.x == pytest.approx(plain.x[0] + plain.random.x)
    with pytest.raises(ValueError, match="two random effects cannot have one name"):
        plain.renamed(u=["a", "a", "b"])
    with pytest.raises(ValueError, match="v has 0 elements, not 3; there are mu, log_tau, u"):
        plain.renamed(v=towns)
