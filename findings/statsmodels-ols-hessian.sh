#!/usr/bin/env bash
# Version: statsmodels 0.15.0 (NumPy 2.5.5, Python 3.12)
# Seen: OLS.hessian is half the second derivative of OLS.loglike at the estimates, and elsewhere another matrix:
# a factor of 2 is missing in its first term.
# Expected: "the Hessian matrix" of the profile log-likelihood, as the documentation has it: the derivative of
# OLS.score, which is right.
# Output:
#   hessian / derivative of score: [[0.5, 0.5], [0.5, 0.5]]
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

import numpy as np
import statsmodels.api as sm

dice = np.random.default_rng(0)
X = sm.add_constant(dice.normal(size=200))
y = X @ [1.0, 0.5] + dice.normal(size=200)
model = sm.OLS(y, X)
at = model.fit().params
step = 1e-5 * np.eye(2)
slopes = np.array([(model.score(at + h) - model.score(at - h)) / 2e-5 for h in step])
ratio = model.hessian(at) / slopes
print("hessian / derivative of score:", ratio.round(6).tolist())
sys.exit(not np.allclose(ratio, 0.5, rtol=1e-6))
EOF
