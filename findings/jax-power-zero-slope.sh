#!/usr/bin/env bash
# Version: JAX 0.12.0.1 (Python 3.12, x64 enabled)
# Seen: x**0.0 with a float exponent has the slope NaN at x = 0; with the integer exponent 0 it has the slope
# 0.
# Expected: 0 both times: the function is 1 everywhere.
# Output:
#   x**0.0 nan
#   x**0 0.0
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check jax==0.12.0.1
"$folder/venv/bin/python" - <<'EOF'
import math
import sys

import jax

jax.config.update("jax_enable_x64", True)
by_float, by_int = float(jax.grad(lambda x: x**0.0)(0.0)), float(jax.grad(lambda x: x**0)(0.0))
print("x**0.0", by_float)
print("x**0", by_int)
sys.exit(not (math.isnan(by_float) and by_int == 0.0))
EOF
