#!/usr/bin/env bash
# Version: CasADi 3.8.2 (Python 3.12)
# Seen: the gradient of norm_2 of a vector of one element at 0 is 0 for SX and NaN for MX symbols.
# Expected: one answer for one function, whichever kind of symbol it is written in.
# Output:
#   SX [0.0]
#   MX [nan]
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check casadi==3.8.2
"$folder/venv/bin/python" - <<'EOF'
import math
import sys

import casadi

found = {}
for kind in (casadi.SX, casadi.MX):
    x = kind.sym("x", 1)
    gradient = casadi.Function("gradient", [x], [casadi.gradient(casadi.norm_2(x), x)])
    found[kind.__name__] = abs(float(gradient(0.0)))
    print(kind.__name__, [found[kind.__name__]])
sys.exit(not (found["SX"] == 0.0 and math.isnan(found["MX"])))
EOF
