#!/usr/bin/env bash
# Version: dask 2026.8.0 (pandas 3.1.1, pyarrow 26.0.1, Python 3.13)
# Seen: a column of a dataframe that was read from small Parquet files raises in to_dask_array(lengths=True), which
# documents that it computes the lengths itself. They are counted after several files have been fused into one
# partition, and held against the number of partitions before.
# Expected: an array with known chunks, as to_dask_array().compute_chunk_sizes() gives it.
# Output:
#   partitions 3, once optimised 2
#   lengths=True: The number of items in 'lengths' does not match the number of partitions. 2 != 3
#   compute_chunk_sizes: ((10000, 20000),)
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "dask[array,dataframe]==2026.8.0" pandas==3.1.1 pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import sys

import dask.dataframe as dd
import numpy as np
import pandas as pd

frame = pd.DataFrame({"a": np.arange(30_000.0), "b": 1.0, "text": "some text"})
for i, rows in enumerate(np.array_split(np.arange(30_000), 3)):
    frame.iloc[rows].to_parquet(f"{i}.parquet")
column = dd.read_parquet("*.parquet")["a"]
print(f"partitions {column.npartitions}, once optimised {column.optimize().npartitions}")
try:
    column.to_dask_array(lengths=True)
except ValueError as error:
    print(f"lengths=True: {error}")
    print(f"compute_chunk_sizes: {column.to_dask_array().compute_chunk_sizes().chunks}")
else:
    sys.exit(1)
EOF
