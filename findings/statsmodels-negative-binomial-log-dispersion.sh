#!/usr/bin/env bash
# Version: statsmodels 0.15.0 (NumPy 2.5.5, Python 3.12)
# Seen: NegativeBinomial.loglike takes the last parameter for the logarithm of the dispersion until the model is
# fitted, and for the dispersion afterwards: the same call gives two values. score does the same, and so does
# hessian, which before the fit is not the derivative of score.
# Expected: one value for the same parameters; the documentation says nothing of logarithms.
# Output:
#   loglike([1, 0.1, 0.6]) before fit -588.5762, after it -575.5306
#   d2/d(last)2 before fit: hessian -4.601, derivative of score -62.942
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
y = dice.negative_binomial(2, 0.3, 200).astype(float)
model = sm.NegativeBinomial(y, X)
at, step = np.array([1.0, 0.1, 0.6]), np.array([0.0, 0.0, 1e-5])
before, second = model.loglike(at), model.hessian(at)[-1, -1]
slope = (model.score(at + step)[-1] - model.score(at - step)[-1]) / 2e-5
model.fit(disp=0)
after = model.loglike(at)
print(f"loglike([1, 0.1, 0.6]) before fit {before:.4f}, after it {after:.4f}")
print(f"d2/d(last)2 before fit: hessian {second:.3f}, derivative of score {slope:.3f}")
sys.exit(not (abs(before - after) > 1.0 and abs(second - slope) > 1.0))
EOF
