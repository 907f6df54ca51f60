#!/usr/bin/env bash
# Version: qdldl 0.1.9.post1 and cholespy 2.2.0 (NumPy 2.5.5, SciPy 1.18.1, Python 3.12)
# Seen: given one triangle of a symmetric matrix, qdldl reads the upper and cholespy the lower one; given the
# other, each solves with the diagonal alone, without a word.
# Expected: an error where entries that were given are not read.
# Output:
#   exact [0.1373, 0.451, 0.5098]  diagonal alone [0.25, 0.6667, 0.6]
#   upper qdldl [0.1373, 0.451, 0.5098] cholespy [0.25, 0.6667, 0.6]
#   lower qdldl [0.25, 0.6667, 0.6] cholespy [0.1373, 0.451, 0.5098]
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "${PYTHON:-}" python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check qdldl==0.1.9.post1 cholespy==2.2.0 numpy==2.5.5 scipy==1.18.1
"$folder/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import qdldl
from cholespy import CholeskySolverD, MatrixType
from scipy import sparse

A = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
b = np.array([1.0, 2.0, 3.0])
exact, diagonal = np.linalg.solve(A, b), b / np.diag(A)


def by_cholespy(matrix):
    x = np.zeros(3)
    rows, columns = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    CholeskySolverD(3, columns, rows, matrix.data, MatrixType.CSC).solve(b, x)
    return x


def shown(x):
    return x.round(4).tolist()


print("exact", shown(exact), " diagonal alone", shown(diagonal))
same = True
for name, triangle, expected in (("upper", np.triu(A), (exact, diagonal)), ("lower", np.tril(A), (diagonal, exact))):
    matrix = sparse.csc_matrix(triangle)
    found = qdldl.Solver(matrix).solve(b), by_cholespy(matrix)
    print(name, "qdldl", shown(found[0]), "cholespy", shown(found[1]))
    same = same and np.allclose(found, expected)
sys.exit(not same)
EOF
