#!/usr/bin/env bash
# Version: dask 2026.8.0 (pandas 3.1.1, pyarrow 26.0.1, Python 3.13)
# Seen: a folder of Parquet files has its rows in one order for Dask, which reads 2.parquet before 10.parquet, and in
# another one for pandas and pyarrow, which read 10.parquet first. Lengths and types agree, so a column that pandas
# has read stands beside those of Dask without an error, and every row past the second file has the wrong partner.
# Expected: the order of pandas, whose interface and whose reader (pyarrow) it is.
# Output:
#   pandas [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
#   pyarrow [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
#   dask [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
#   correlation of a column of pandas with itself in Dask: 0.44
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "dask[array,dataframe]==2026.8.0" pandas==3.1.1 pyarrow==26.0.1
mkdir "$folder/files"
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import sys

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds

for i in range(12):
    pd.DataFrame({"file": [i, i]}).to_parquet(f"files/{i}.parquet")
pandas = pd.read_parquet("files")["file"].to_numpy()
pyarrow = ds.dataset("files").to_table()["file"].to_numpy()
dask = dd.read_parquet("files")["file"].compute().to_numpy()
print("pandas", pandas[::2].tolist())
print("pyarrow", pyarrow[::2].tolist())
print("dask", dask[::2].tolist())
print(f"correlation of a column of pandas with itself in Dask: {np.corrcoef(pandas, dask)[0, 1]:.2f}")
sys.exit(int(np.array_equal(pandas, dask) or not np.array_equal(pandas, pyarrow)))
EOF
