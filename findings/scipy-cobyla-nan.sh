#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: COBYLA that sees nothing but NaN reports success, with the function value 1e30, which the function
# never returned.
# Expected: success=False, as the other methods have it.
# Output:
#   success True  fun 1e+30  not NaN 0 of 7
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
seen = []


def minus_loglik(theta):
    with np.errstate(all="ignore"):
        seen.append(y.size * np.log(theta[1]) + 0.5 * ((y - theta[0]) ** 2).sum() / theta[1] ** 2)
    return seen[-1]


result = minimize(minus_loglik, [0.0, -1.0], method="COBYLA")
numbers = int((~np.isnan(seen)).sum())
print(f"success {result.success}  fun {result.fun}  not NaN {numbers} of {len(seen)}")
sys.exit(not (result.success and numbers == 0))
EOF
