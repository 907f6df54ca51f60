#!/usr/bin/env bash
# Version: nutpie 0.16.11 (NumPy 2.5.5, Python 3.12)
# Seen: from_pyfunc hands the seeds and the chain number (0, 0, 0) to every make_expand_fn, whatever the chain
# and whatever the seed of the run: draws that it makes from them are the same in all chains.
# Expected: other seeds for other chains and other runs, as make_initial_point_fn gets them.
# Output:
#   seed 7 make_expand_fn was given [(0, 0, 0)]  different initial seeds 3
#   seed 8 make_expand_fn was given [(0, 0, 0)]  different initial seeds 3
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check nutpie==0.16.11 numpy==2.5.5 arviz==1.3.0
"$folder/venv/bin/python" - <<'EOF'
import sys
import warnings

warnings.simplefilter("ignore")

import numpy as np
import nutpie
from nutpie.compiled_pyfunc import from_pyfunc

same = True
for seed in (7, 8):
    given, initial = set(), set()

    def make_expand(*seeds, given=given):
        given.add(seeds)
        return lambda x: {"x": x}

    def initial_point(number, initial=initial):
        initial.add(number)
        return np.random.default_rng(number).normal(size=2)

    model = from_pyfunc(
        ndim=2,
        make_logp_fn=lambda: lambda x: (-0.5 * (x**2).sum(), -x),
        make_expand_fn=make_expand,
        expanded_dtypes=[np.dtype(float)],
        expanded_shapes=[(2,)],
        expanded_names=["x"],
        make_initial_point_fn=initial_point,
    )
    draws = nutpie.sample(model, draws=20, tune=20, chains=3, seed=seed, progress_bar=False)
    print("seed", seed, "make_expand_fn was given", sorted(given), " different initial seeds", len(initial))
    same = same and given == {(0, 0, 0)} and len(initial) == 3
    del draws
sys.exit(not same)
EOF
