"""Maximum-likelihood fits and the inference from them."""

from tapegrad.mle.fit import fit
from tapegrad.mle.inference import ConvergenceWarning, StandardErrorWarning
from tapegrad.mle.result import FitResult

__all__ = ["ConvergenceWarning", "FitResult", "StandardErrorWarning", "fit"]
