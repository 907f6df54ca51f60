#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: scipy.special.powm1(x, y), which is x**y - 1, gives 0 where the power of a number below 1 leaves the range of
# doubles. Of a number above 1 it gives infinity there.
# Expected: infinity for both, as x**y - 1 gives it.
# Output:
#   powm1(0.5, -1023.0) = 8.98846567431158e+307
#   powm1(0.5, -1025.0) = 0.0
#   powm1(2.0, 1025.0) = inf
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.12}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys

from scipy.special import powm1

points = [(0.5, -1023.0), (0.5, -1025.0), (2.0, 1025.0)]
found = [float(powm1(x, y)) for x, y in points]
for (x, y), value in zip(points, found):
    print(f"powm1({x}, {y}) = {value}")
sys.exit(not (found[0] > 8.9e307 and found[1] == 0.0 and found[2] == float("inf")))
EOF
