#!/usr/bin/env bash
# Version: statsmodels 0.15.0 (NumPy 2.5.5, Python 3.12)
# Seen: without a constant among its columns a GenericLikelihoodModel counts one parameter too few: the AIC of
# a Poisson regression on two columns is 2 below that of statsmodels' own Poisson, of the same log-likelihood.
# Expected: AIC = 2 * 2 - 2 * llf from both.
# Output:
#   columns 2  df_model 1.0
#   aic - (4 - 2 llf): generic -2.0000, Poisson 0.0000
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check statsmodels==0.15.0 numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys
import warnings

import numpy as np
import statsmodels.api as sm
from scipy.special import gammaln
from statsmodels.base.model import GenericLikelihoodModel

warnings.simplefilter("ignore")


class Counts(GenericLikelihoodModel):
    def loglikeobs(self, params):
        eta = self.exog @ params
        return self.endog * eta - np.exp(eta) - gammaln(self.endog + 1.0)


dice = np.random.default_rng(0)
X = dice.normal(size=(100, 2))
y = dice.poisson(np.exp(X @ [0.3, 0.5]))
generic = Counts(y, X).fit(start_params=np.zeros(2), disp=0)
own = sm.Poisson(y, X).fit(disp=0)
excess = [r.aic - (4.0 - 2.0 * r.llf) for r in (generic, own)]
print("columns 2  df_model", generic.df_model)
print(f"aic - (4 - 2 llf): generic {excess[0]:.4f}, Poisson {excess[1]:.4f}")
sys.exit(not (abs(excess[0] + 2.0) < 1e-9 and abs(excess[1]) < 1e-9))
EOF
