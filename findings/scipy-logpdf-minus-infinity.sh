#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: logpdf of laplace, hypsecant, foldnorm and rice is -inf where the density underflows, although its
# logarithm is an ordinary number (they take the logarithm of pdf).
# Expected: at 1000: -1000.69, -1000.45, -499001.42 and -498997.96.
# Output:
#   laplace -inf
#   hypsecant -inf
#   foldnorm -inf
#   rice -inf
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
import warnings

import numpy as np
from scipy import stats

warnings.simplefilter("ignore")
cases = {"laplace": (), "hypsecant": (), "foldnorm": (1.0,), "rice": (1.0,)}
found = {name: float(getattr(stats, name).logpdf(1000.0, *shapes)) for name, shapes in cases.items()}
for name, value in found.items():
    print(name, value)
sys.exit(not all(value == -np.inf for value in found.values()))
EOF
