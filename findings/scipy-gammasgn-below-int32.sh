#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: scipy.special.gammasgn, the sign of the gamma function, is 1 for every number below -2**31: also where the
# gamma function is negative, between an odd whole number and the even one above it.
# Expected: the sign changes from each whole number to the next, as it does above -2**31.
# Output:
#   gammasgn(-2147483645.5) = 1.0, where the sign is 1
#   gammasgn(-2147483646.5) = -1.0, where the sign is -1
#   gammasgn(-2147483648.5) = 1.0, where the sign is -1
#   gammasgn(-10000000000.5) = 1.0, where the sign is -1
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.12}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import math
import sys

from scipy.special import gammasgn

right = []
for x in (-2147483645.5, -2147483646.5, -2147483648.5, -10000000000.5):
    sign = 1 if math.floor(x) % 2 == 0 else -1
    right.append(float(gammasgn(x)) == sign)
    print(f"gammasgn({x}) = {float(gammasgn(x))}, where the sign is {sign}")
sys.exit(right != [True, True, False, False])
EOF
