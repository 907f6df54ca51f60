#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: minus the log-likelihood of an exponential rate, infinite for rates below 0: L-BFGS-B meets infinity
# in its first line search and reports success far from the minimum, where the slope is 5.0.
# Expected: the minimum, 0.8929, or success=False.
# Output:
#   success True  rate 9.0000  minimum 0.8929
#   CONVERGENCE: RELATIVE REDUCTION OF F <= FACTR*EPSMCH
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from scipy.optimize import minimize

y = np.array([0.3, 1.2, 0.7, 2.5, 0.9])
best = y.size / y.sum()


def minus_loglik(theta):
    rate = theta[0]
    return rate * y.sum() - y.size * np.log(rate) if rate > 0.0 else np.inf


result = minimize(minus_loglik, [30.0], method="L-BFGS-B")
print(f"success {result.success}  rate {result.x[0]:.4f}  minimum {best:.4f}")
print(result.message)
sys.exit(not (result.success and abs(result.x[0] - best) > 1.0))
EOF
