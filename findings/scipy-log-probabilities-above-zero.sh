#!/usr/bin/env bash
# Version: SciPy 1.18.1 (NumPy 2.5.5, Python 3.12)
# Seen: log-probabilities of nbinom and betabinom with large shape parameters are positive: gammaln and betaln
# of large arguments are subtracted from each other.
# Expected: -1.9618 (the Poisson limit) and -1.4020 (the binomial limit); no log-probability is above 0.
# Output:
#   nbinom 0.2136
#   betabinom 5.5000
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

from scipy import stats

negative_binomial = float(stats.nbinom.logpmf(3, 1e15, 1e15 / (1e15 + 5.0)))
beta_binomial = float(stats.betabinom.logpmf(5, 10, 1e15, 1e15))
print(f"nbinom {negative_binomial:.4f}")
print(f"betabinom {beta_binomial:.4f}")
sys.exit(not (negative_binomial > 0.0 and beta_binomial > 0.0))
EOF
