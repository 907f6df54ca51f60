#!/usr/bin/env bash
# Version: qdldl 0.1.9.post1 (NumPy 2.4.6, SciPy 1.17.1, Python 3.11)
# Seen: Solver.update(B) with a matrix B of another pattern than the first one raises nothing, and solve() then
# gives the solution of neither matrix. The numbers are taken in their order, whatever their places.
# Expected: an error, or a new symbolic factorisation.
# Output:
#   found [ 0.58333333 -0.33333333  0.75      ]
#   of B  [0.06666667 0.5        0.73333333]
#   of A  [0.13333333 0.46666667 0.75      ]
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.11}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 qdldl==0.1.9.post1
"$folder/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import qdldl
from scipy import sparse

A = np.array([[4.0, 1.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 4.0]])
B = np.array([[4.0, 0.0, 1.0], [0.0, 4.0, 0.0], [1.0, 0.0, 4.0]])
b = np.array([1.0, 2.0, 3.0])
solver = qdldl.Solver(sparse.csc_matrix(A))
solver.update(sparse.csc_matrix(B))
found, of_b, of_a = solver.solve(b), np.linalg.solve(B, b), np.linalg.solve(A, b)
print(f"found {found}\nof B  {of_b}\nof A  {of_a}")
sys.exit(bool(np.allclose(found, of_b) or np.allclose(found, of_a)))
EOF
