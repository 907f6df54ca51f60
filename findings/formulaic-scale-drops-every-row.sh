#!/usr/bin/env bash
# Version: formulaic 1.2.2 (pandas 3.1.1, NumPy 2.5.5, Python 3.12)
# Seen: one missing value under scale() or center() drops every row of the design matrix, without a warning:
# the mean is NaN, and with it all rows. Other terms drop the one row.
# Expected: three of four rows each time.
# Output:
#   x 3 rows
#   center(x) 0 rows
#   scale(x) 0 rows
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check formulaic==1.2.2 pandas==3.1.1 numpy==2.5.5
"$folder/venv/bin/python" - <<'EOF'
import sys

import pandas as pd
from formulaic import model_matrix

table = pd.DataFrame({"x": [1.0, 2.0, None, 4.0]})
rows = {term: len(model_matrix(term, table)) for term in ("x", "center(x)", "scale(x)")}
for term, count in rows.items():
    print(term, count, "rows")
sys.exit(rows != {"x": 3, "center(x)": 0, "scale(x)": 0})
EOF
