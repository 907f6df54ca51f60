#!/usr/bin/env bash
# Version: dask 2026.8.0, distributed 2026.8.0 (pandas 3.1.1, pyarrow 26.0.1, Python 3.13)
# Seen: column.cat.as_known(), which Dask's own error message asks for, works in one process. With a client it does
# not: a word of Dask's for unknown categories is taken for one of them, so the result has a fifth category, and is
# still unknown. In one process the categories come in the order of hashes, so that codes are not those of pandas.
# Expected: the categories that the data have, in their order, known, as astype() gives them that is told them.
# Output:
#   pandas: ['a', 'b', 'c', 'd']
#   one process: known True, ['b', 'd', 'a', 'c']
#   client: known False, ['b', 'd', '__UNKNOWN_CATEGORIES__', 'a', 'c']
#   client, astype(CategoricalDtype): known True, ['a', 'b', 'c', 'd']
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "dask[array,dataframe,distributed]==2026.8.0" distributed==2026.8.0 pandas==3.1.1 pyarrow==26.0.1
cd "$folder"
cat > shown.py <<'EOF'
import sys

import dask
import dask.dataframe as dd
import pandas as pd
from distributed import Client


def told(column):
    return f"known {column.cat.known}, {list(column.dtype.categories)}"


if __name__ == "__main__":
    texts = pd.Series(list("aabbccdd") * 100, name="x")
    print(f"pandas: {list(texts.astype('category').cat.categories)}")
    frame = dd.from_pandas(texts.to_frame(), npartitions=4)
    with dask.config.set(scheduler="synchronous"):
        alone = frame["x"].astype("category").cat.as_known()
    print("one process:", told(alone))
    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50):
        served = frame["x"].astype("category").cat.as_known()
        print("client:", told(served))
        kinds = pd.CategoricalDtype(["a", "b", "c", "d"])
        print("client, astype(CategoricalDtype):", told(frame["x"].astype(kinds)))
    sys.exit(int(served.cat.known))
EOF
"$folder/venv/bin/python" -W ignore shown.py
