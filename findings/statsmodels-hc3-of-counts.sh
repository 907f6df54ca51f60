#!/usr/bin/env bash
# Version: statsmodels 0.15.0 (Python 3.12)
# Seen: GLM and the discrete models take cov_type="HC1", "HC2" and "HC3" and give the numbers of "HC0" under
#   these names, without a warning; the summary says "Covariance Type: HC3".
# Expected: corrections for the number of parameters and for leverage, as OLS has them, or an error.
# Output:
#   OLS      HC0 1.2023 HC1 1.4725 HC2 1.6810 HC3 2.3818
#   GLM      HC0 0.1683 HC1 0.1683 HC2 0.1683 HC3 0.1683
#   Poisson  HC0 0.1683 HC1 0.1683 HC2 0.1683 HC3 0.1683
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check statsmodels==0.15.0
"$folder/venv/bin/python" - <<'END'
import sys

import numpy as np
import statsmodels.api as sm

x, y = np.arange(6.0), np.array([1, 2, 2, 5, 6, 14])
X = sm.add_constant(x)
fits = {
    "OLS": lambda kind: sm.OLS(y, X).fit(cov_type=kind),
    "GLM": lambda kind: sm.GLM(y, X, family=sm.families.Poisson()).fit(cov_type=kind),
    "Poisson": lambda kind: sm.Poisson(y, X).fit(disp=0, cov_type=kind),
}
found = {}
for name, fit in fits.items():
    found[name] = [float(fit(kind).bse[0]) for kind in ("HC0", "HC1", "HC2", "HC3")]
    print(f"{name:<8}", *(f"HC{i} {value:.4f}" for i, value in enumerate(found[name])))
same = {name: len(set(values)) == 1 for name, values in found.items()}
sys.exit(same != {"OLS": False, "GLM": True, "Poisson": True})
END
