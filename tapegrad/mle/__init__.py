"""Maximum-likelihood fits and the inference from them."""

from tapegrad.mle.fit import Iteration, fit
from tapegrad.mle.infer.accuracy import LaplaceCheck
from tapegrad.mle.infer.delta import Derived
from tapegrad.mle.infer.hypotheses import HypothesisTest, lr_test, score_test, wald_test
from tapegrad.mle.infer.observations import VuongTest, influence, pointwise, scores, vuong_test
from tapegrad.mle.infer.profile import Profile, ProfileWarning
from tapegrad.mle.notices import ConvergenceWarning, StandardErrorWarning
from tapegrad.mle.regression import regression
from tapegrad.mle.report.comparison import Comparison, compare
from tapegrad.mle.report.diagnose import Diagnosis
from tapegrad.mle.report.sidebyside import side_by_side
from tapegrad.mle.report.storage import save
from tapegrad.mle.resample.bootstrap import Bootstrap, bootstrap
from tapegrad.mle.resample.leaveout import CrossValidation, Jackknife, cross_validate, jackknife
from tapegrad.mle.resample.simulation import Consistency, Study, check_consistency, coverage
from tapegrad.mle.result import FitResult, load
from tapegrad.mle.tables import Table
from tapegrad.tape.storage import StorageError

__all__ = [
    "Bootstrap",
    "Comparison",
    "Consistency",
    "ConvergenceWarning",
    "CrossValidation",
    "Derived",
    "Diagnosis",
    "FitResult",
    "HypothesisTest",
    "Iteration",
    "Jackknife",
    "LaplaceCheck",
    "Profile",
    "ProfileWarning",
    "StandardErrorWarning",
    "StorageError",
    "Study",
    "Table",
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
    "regression",
    "save",
    "score_test",
    "scores",
    "side_by_side",
    "vuong_test",
    "wald_test",
]
