"""Pictures of a fit; they need matplotlib.

Each function draws into the axes given as `ax`, or into those of a new figure of pyplot, and returns them:
notebooks and ``plt.show()`` show them, ``ax.figure.savefig("profile.png")`` saves them. What takes longer
than two seconds says so on standard error.
"""

from tapegrad.mle.plots.coefficients import plot_coefficients, plot_impacts, plot_random_effects
from tapegrad.mle.plots.contours import plot_contour, plot_pairs
from tapegrad.mle.plots.observations import plot_influence, plot_qq, plot_residuals
from tapegrad.mle.plots.paths import plot_convergence, plot_power
from tapegrad.mle.plots.profiles import plot_profile, plot_zeta
from tapegrad.mle.plots.simulated import plot_simulated

__all__ = [
    "plot_coefficients",
    "plot_contour",
    "plot_convergence",
    "plot_impacts",
    "plot_influence",
    "plot_pairs",
    "plot_power",
    "plot_profile",
    "plot_qq",
    "plot_random_effects",
    "plot_residuals",
    "plot_simulated",
    "plot_zeta",
]
