#!/usr/bin/env bash
# Version: JAX 0.12.0.1 (Python 3.12, x64 enabled)
# Seen: far in the lower tail jax.scipy.special.log_ndtr has the right value but a wrong slope: off by a third
# at -1e8, and 1 at -1e10.
# Expected: the slope at -x tends to x (Mills' ratio): 1e8 and 1e10.
# Output:
#   -1e+05 99999.968304
#   -1e+08 65659969.137331
#   -1e+10 1.000000
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
import sys

import jax

jax.config.update("jax_enable_x64", True)
slope = jax.grad(jax.scipy.special.log_ndtr)
for x in (-1e5, -1e8, -1e10):
    print(f"{x:.0e} {float(slope(x)):.6f}")
sys.exit(abs(float(slope(-1e10)) / 1e10 - 1.0) < 1e-3)
EOF
