"""Maximum-likelihood fits and the inference from them."""

from tapegrad.mle.comparison import Comparison, compare
from tapegrad.mle.delta import Derived
from tapegrad.mle.diagnose import Diagnosis
from tapegrad.mle.fit import Iteration, fit
from tapegrad.mle.hypotheses import HypothesisTest, lr_test, score_test, wald_test
from tapegrad.mle.inference import ConvergenceWarning, StandardErrorWarning
from tapegrad.mle.leaveout import CrossValidation, Jackknife, cross_validate, jackknife
from tapegrad.mle.observations import VuongTest, influence, pointwise, scores, vuong_test
from tapegrad.mle.profile import Profile, ProfileWarning
from tapegrad.mle.resampling import Bootstrap, bootstrap
from tapegrad.mle.result import FitResult
from tapegrad.mle.simulation import Study, check_consistency, coverage
from tapegrad.mle.storage import StorageError, load, save

__all__ = [
    "Bootstrap",
    "Comparison",
    "ConvergenceWarning",
    "CrossValidation",
    "Derived",
    "Diagnosis",
    "FitResult",
    "HypothesisTest",
    "Iteration",
    "Jackknife",
    "Profile",
    "ProfileWarning",
    "StandardErrorWarning",
    "StorageError",
    "Study",
    "VuongTest",
    "bootstrap",
    "check_consistency",
    "compare",
    "coverage",
    "cross_validate",
    "fit",
    "influence",
    "jackknife",
    "load",
    "lr_test",
    "pointwise",
    "save",
    "score_test",
    "scores",
    "vuong_test",
    "wald_test",
]
