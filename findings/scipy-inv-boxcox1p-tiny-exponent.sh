#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: scipy.special.inv_boxcox1p gives y itself, in place of exp(y) - 1, where the exponent is not 0 but so small that
# its product with y is below 1e-154. At 0, and at 1e-150, it is right; inv_boxcox is right at all of them.
# Expected: exp(y) - 1, the limit for small exponents.
# Output:
#   inv_boxcox1p(2.0, 0.0) = 6.38905609893065
#   inv_boxcox1p(2.0, 1e-150) = 6.38905609893065
#   inv_boxcox1p(2.0, 1e-160) = 2.0
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.12}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys

from scipy.special import inv_boxcox1p

found = [float(inv_boxcox1p(2.0, exponent)) for exponent in (0.0, 1e-150, 1e-160)]
for exponent, value in zip((0.0, 1e-150, 1e-160), found):
    print(f"inv_boxcox1p(2.0, {exponent}) = {value}")
sys.exit(not (abs(found[0] - 6.389056) < 1e-6 and abs(found[1] - 6.389056) < 1e-6 and found[2] == 2.0))
EOF
