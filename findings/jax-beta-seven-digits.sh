#!/usr/bin/env bash
# Version: JAX 0.12.0.1 (NumPy 2.5.5, SciPy 1.18.1, Python 3.12), with float64 switched on
# Seen: jax.scipy.special.betaln keeps 6 to 9 digits of 16 where one argument is between 8 and 100: a series for large
# arguments begins at 8, as it may for float32. Below 8 nearly all digits are right. `beta` follows it.
# Expected: the digits of float64, as SciPy's and as those of JAX's own gammaln.
# Output:
#   betaln(0.5, 7.9): relative error 9.8e-15
#   betaln(0.5, 8.1): relative error 1.2e-06
#   betaln(4.0, 8.1): relative error 1.6e-07
#   betaln(20.0, 30.0): relative error 4.8e-10
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.12}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check jax==0.12.0.1 numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys

import jax
from jax.scipy.special import betaln
from scipy import special

jax.config.update("jax_enable_x64", True)
errors = []
for a, b in [(0.5, 7.9), (0.5, 8.1), (4.0, 8.1), (20.0, 30.0)]:
    found, right = float(betaln(a, b)), special.betaln(a, b)
    errors.append(abs(found / right - 1.0))
    print(f"betaln({a}, {b}): relative error {errors[-1]:.1e}")
sys.exit(not (errors[0] < 1e-12 and min(errors[1:]) > 1e-10))
EOF
