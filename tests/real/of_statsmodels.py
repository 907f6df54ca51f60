"""Log-likelihoods, copulas and loss functions of statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import Real, module, row

RNG = np.random.default_rng(12)
N = 60
X = np.column_stack([np.ones(N), RNG.normal(size=N), RNG.uniform(-1, 1, size=N)])
COUNTS = RNG.poisson(np.exp(X @ [0.6, 0.3, -0.2])).astype(float)
BINARY = (X @ [0.2, 1.0, -0.5] + RNG.logistic(size=N) > 0).astype(float)
LEVELS = RNG.integers(0, 3, size=N)
REAL = X @ [1.0, 0.5, -0.3] + RNG.standard_t(5, size=N)
POSITIVE = RNG.gamma(2.0, np.exp(X @ [0.2, 0.1, 0.1]))
SHARES = RNG.beta(2.0, 3.0, size=N)
PAIRS = np.column_stack([SHARES, SHARES[::-1]])
SERIES = np.cumsum(RNG.normal(size=N)) * 0.3 + RNG.normal(size=N)


def _model(name: str, theta: list[float], build: Any, has_hessian: bool = True) -> None:
    """A model with `loglike`, `score` and mostly a `hessian` that is the derivative of the score."""

    @row(f"statsmodels: {name}.loglike", theta)
    def _(_package: Any) -> Real:
        model = build()
        return Real(model.loglike, model.score, model.hessian if has_hessian else None)


def _discrete(name: str, *args: Any, **kwargs: Any) -> Any:
    return lambda: getattr(module("statsmodels.discrete.discrete_model"), name)(*args, **kwargs)


B3 = [0.2, 0.1, -0.3]
_model("Logit", B3, _discrete("Logit", BINARY, X))
_model("Probit", B3, _discrete("Probit", BINARY, X))
_model("MNLogit", [0.1, 0.2, -0.3, 0.3, -0.1, 0.2], _discrete("MNLogit", LEVELS, X))
_model("Poisson", B3, _discrete("Poisson", COUNTS, X))
_model("Poisson with offset", B3, _discrete("Poisson", COUNTS, X, offset=0.1 * X[:, 1]))
# Before a fit these take the logarithm of the dispersion, but their Hessians do not.
_model("NegativeBinomial nb2", [*B3, 0.6], _discrete("NegativeBinomial", COUNTS, X), False)
_model(
    "NegativeBinomial nb1", [*B3, 0.6], _discrete("NegativeBinomial", COUNTS, X, loglike_method="nb1"), False
)
_model("NegativeBinomial geometric", B3, _discrete("NegativeBinomial", COUNTS, X, loglike_method="geometric"))
_model("NegativeBinomialP", [*B3, 0.6], _discrete("NegativeBinomialP", COUNTS, X, p=2))
_model("NegativeBinomialP p=1", [*B3, 0.6], _discrete("NegativeBinomialP", COUNTS, X, p=1))
_model("GeneralizedPoisson", [*B3, 0.2], _discrete("GeneralizedPoisson", COUNTS, X, p=1))
_model("GeneralizedPoisson p=2", [*B3, 0.2], _discrete("GeneralizedPoisson", COUNTS, X, p=2))


def _inflated(name: str, **kwargs: Any) -> Any:
    return lambda: getattr(module("statsmodels.discrete.count_model"), name)(COUNTS, X, **kwargs)


@row("statsmodels: ZeroInflatedPoisson.loglike", [-1.0, *B3])
def _(_package: Any) -> Real:
    model = _inflated("ZeroInflatedPoisson")()
    return Real(model.loglike, model.score)


@row("statsmodels: ZeroInflatedPoisson.loglike with covariates", [-1.0, 0.2, 0.1, *B3])
def _(_package: Any) -> Real:
    model = _inflated("ZeroInflatedPoisson", exog_infl=X)()
    return Real(model.loglike, model.score)


@row("statsmodels: ZeroInflatedGeneralizedPoisson.loglike", [-1.0, *B3, 0.2])
def _(_package: Any) -> Any:
    return _inflated("ZeroInflatedGeneralizedPoisson")().loglike


@row("statsmodels: ZeroInflatedNegativeBinomialP.loglike", [-1.0, *B3, 0.6])
def _(_package: Any) -> Any:
    return _inflated("ZeroInflatedNegativeBinomialP")().loglike


@row("statsmodels: TruncatedLFPoisson.loglike", B3)
def _(_package: Any) -> Any:
    found = module("statsmodels.discrete.truncated_model").TruncatedLFPoisson
    return found(COUNTS + 1, X).loglike


@row("statsmodels: TruncatedLFNegativeBinomialP.loglike", [*B3, 0.4])
def _(_package: Any) -> Any:
    found = module("statsmodels.discrete.truncated_model").TruncatedLFNegativeBinomialP
    return found(COUNTS + 1, X).loglike


@row("statsmodels: HurdleCountModel.loglike", [*B3, *B3])
def _(_package: Any) -> Any:
    return module("statsmodels.discrete.truncated_model").HurdleCountModel(COUNTS, X).loglike


@row("statsmodels: ConditionalLogit.loglike", [0.2, -0.3])
def _(_package: Any) -> Real:
    found = module("statsmodels.discrete.conditional_models").ConditionalLogit
    model = found(BINARY, X[:, 1:], groups=np.arange(N) // 6)
    return Real(model.loglike, model.score)


@row("statsmodels: ConditionalPoisson.loglike", [0.2, -0.3])
def _(_package: Any) -> Real:
    found = module("statsmodels.discrete.conditional_models").ConditionalPoisson
    model = found(COUNTS, X[:, 1:], groups=np.arange(N) // 6)
    return Real(model.loglike, model.score)


@row("statsmodels: OrderedModel probit.loglike", [0.2, -0.3, -0.5, 0.1])
def _(_package: Any) -> Any:
    found = module("statsmodels.miscmodels.ordinal_model").OrderedModel
    return found(LEVELS, X[:, 1:], distr="probit").loglike


@row("statsmodels: OrderedModel logit.loglike", [0.2, -0.3, -0.5, 0.1])
def _(_package: Any) -> Any:
    found = module("statsmodels.miscmodels.ordinal_model").OrderedModel
    return found(LEVELS, X[:, 1:], distr="logit").loglike


@row("statsmodels: BetaModel.loglike", [*B3, 1.5])
def _(_package: Any) -> Any:
    model = module("statsmodels.othermod.betareg").BetaModel(SHARES, X)
    return Real(model.loglike, model.score, model.hessian)


@row("statsmodels: TLinearModel.loglike", [*B3, 5.0, 1.2])
def _(_package: Any) -> Any:
    model = module("statsmodels.miscmodels.tmodel").TLinearModel(REAL, X)
    model.df_model, model.df_resid = 2, N - 3
    model.fix_df, model.fixed_params, model.fixed_paramsmask = False, None, None
    return model.loglike


@row("statsmodels: PoissonGMLE.loglike", B3)
def _(_package: Any) -> Any:
    return module("statsmodels.miscmodels.count").PoissonGMLE(COUNTS, X).loglike


@row("statsmodels: PoissonZiGMLE.loglike", [*B3, -0.5])
def _(_package: Any) -> Any:
    return module("statsmodels.miscmodels.count").PoissonZiGMLE(COUNTS, X).loglike


# Generalised linear models ----------------------------------------------------------------------------------


def _glm(family: str, y: Any, theta: list[float], link: str | None = None, **kwargs: Any) -> None:
    """`GLM.loglike` of a family; statsmodels' score and Hessian take the same scale."""

    @row(f"statsmodels: GLM {family} {link or ''}.loglike", theta)
    def _(_package: Any) -> Real:
        families = module("statsmodels.genmod.families")
        chosen = {} if link is None else {"link": getattr(families.links, link)()}
        model = module("statsmodels.api").GLM(y, X, family=getattr(families, family)(**chosen, **kwargs))
        return Real(
            lambda b: model.loglike(b, scale=1.0),
            lambda b: model.score(b, scale=1.0),
            lambda b: model.hessian(b, scale=1.0, observed=True),
        )


_glm("Poisson", COUNTS, B3)
_glm("Binomial", BINARY, B3)
_glm("Binomial", BINARY, B3, "Probit")
_glm("Binomial", BINARY, B3, "CLogLog")
_glm("Binomial", BINARY, B3, "LogLog")
_glm("Binomial", BINARY, B3, "Cauchy")
_glm("Gaussian", REAL, B3)
_glm("Gamma", POSITIVE, B3, "Log")
_glm("InverseGaussian", POSITIVE, B3, "Log")
_glm("NegativeBinomial", COUNTS, B3, alpha=0.7)
_glm("Tweedie", POSITIVE, B3, var_power=1.5, eql=True)


# Linear models and time series ------------------------------------------------------------------------------


@row("statsmodels: OLS.loglike", B3)
def _(_package: Any) -> Real:
    model = module("statsmodels.api").OLS(REAL, X)
    return Real(model.loglike, model.score)


@row("statsmodels: WLS.loglike", B3)
def _(_package: Any) -> Any:
    return module("statsmodels.api").WLS(REAL, X, weights=POSITIVE).loglike


@row("statsmodels: GLS.loglike", B3)
def _(_package: Any) -> Any:
    sigma = 0.4 ** np.abs(np.subtract.outer(np.arange(N), np.arange(N)))
    return module("statsmodels.api").GLS(REAL, X, sigma=sigma).loglike


@row("statsmodels: PHReg.loglike breslow", [0.2, -0.3])
def _(_package: Any) -> Real:
    model = module("statsmodels.duration.hazard_regression").PHReg(POSITIVE, X[:, 1:], status=BINARY)
    return Real(model.loglike, model.score, model.hessian)


@row("statsmodels: PHReg.loglike efron", [0.2, -0.3])
def _(_package: Any) -> Real:
    found = module("statsmodels.duration.hazard_regression").PHReg
    model = found(np.ceil(4 * POSITIVE), X[:, 1:], status=BINARY, ties="efron")
    return Real(model.loglike, model.score, model.hessian)


@row("statsmodels: arma_loglike", [0.4, 0.3, 1.1], refused="compiled code")
def _(_package: Any) -> Any:
    found = module("statsmodels.tsa.innovations.arma_innovations").arma_loglike
    return lambda p: found(SERIES, p[:1], p[1:2], p[2])


for _norm in (
    "HuberT",
    "TukeyBiweight",
    "AndrewWave",
    "TrimmedMean",
    "Hampel",
    "LeastSquares",
    "RamsayE",
    "StudentT",
):

    @row(f"statsmodels: norms.{_norm}.rho", [0.2, 1.1, -1.5])
    def _(_package: Any, _norm: str = _norm) -> Any:
        norm = getattr(module("statsmodels.robust.norms"), _norm)()
        return lambda r: norm.rho(r).sum()


for _family in ("Clayton", "Frank", "Gumbel"):

    @row(f"statsmodels: {_family}Copula.logpdf", [1.7])
    def _(_package: Any, _family: str = _family) -> Any:
        copula = getattr(module("statsmodels.distributions.copula.api"), f"{_family}Copula")()
        return lambda t: copula.logpdf(PAIRS, args=(t[0],)).sum()


@row("statsmodels: GaussianCopula.logpdf", [0.3])
def _(_package: Any) -> Any:
    found = module("statsmodels.distributions.copula.api").GaussianCopula
    return lambda t: found(corr=t[0]).logpdf(PAIRS).sum()


@row("statsmodels: genpoisson_p.logpmf", [2.0, 0.3])
def _(_package: Any) -> Any:
    found = module("statsmodels.distributions.discrete").genpoisson_p
    return lambda t: found.logpmf(COUNTS, t[0], t[1], 1).sum()


@row("statsmodels: zipoisson.logpmf", [2.0, 0.3])
def _(_package: Any) -> Any:
    found = module("statsmodels.distributions.discrete").zipoisson
    return lambda t: found.logpmf(COUNTS, t[0], t[1]).sum()


@row("statsmodels: zinegbin.logpmf", [2.0, 0.5, 0.3])
def _(_package: Any) -> Any:
    found = module("statsmodels.distributions.discrete").zinegbin
    return lambda t: found.logpmf(COUNTS, t[0], t[1], 2, t[2]).sum()


@row("statsmodels: truncatedpoisson.logpmf", [2.0])
def _(_package: Any) -> Any:
    found = module("statsmodels.distributions.discrete").truncatedpoisson
    return lambda t: found.logpmf(COUNTS + 1, t[0], 0).sum()


@row("statsmodels: Factor.loglike", [0.8, 0.6, 0.5, 0.4, 0.5, 0.6], refused="type(x) is np.ndarray")
def _(_package: Any) -> Any:
    corr = np.array([[1.0, 0.5, 0.4], [0.5, 1.0, 0.3], [0.4, 0.3, 1.0]])
    model = module("statsmodels.multivariate.factor").Factor(corr=corr, nobs=50, n_factor=1, method="ml")
    return Real(model.loglike, model.score)


@row("statsmodels: ETSModel.loglike", [0.4, 1.0], refused="compiled code")
def _(_package: Any) -> Any:
    model = module("statsmodels.tsa.exponential_smoothing.ets").ETSModel(SERIES)
    return model.loglike


@row("statsmodels: SARIMAX.loglike", [0.4, 0.3, 1.1], refused="compiled code")
def _(_package: Any) -> Any:
    return module("statsmodels.api").tsa.SARIMAX(SERIES, order=(1, 0, 1)).loglike


for _family in ("Poisson", "Binomial", "Gamma", "InverseGaussian", "NegativeBinomial", "Tweedie"):

    @row(f"statsmodels: {_family}.deviance", B3)
    def _(_package: Any, _family: str = _family) -> Any:
        families = module("statsmodels.genmod.families")
        options = {"link": families.links.Log()} if _family in ("Gamma", "InverseGaussian") else {}
        options |= {"alpha": 0.7} if _family == "NegativeBinomial" else {}
        family = getattr(families, _family)(**options)
        y = {"Poisson": COUNTS, "NegativeBinomial": COUNTS, "Binomial": BINARY}.get(_family, POSITIVE)
        return lambda b: family.deviance(y, family.fitted(X @ b))


@row("statsmodels: var_loglike", [0.5, 1.0, 1.2])
def _(_package: Any) -> Any:
    var_loglike = module("statsmodels.tsa.vector_ar.var_model").var_loglike
    resid = np.column_stack([REAL, POSITIVE])

    def f(t: Any) -> Any:
        omega = np.array([[t[1], t[0]], [t[0], t[2]]])
        return var_loglike(resid, omega, N)

    return f
