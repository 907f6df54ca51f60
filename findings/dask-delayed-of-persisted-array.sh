#!/usr/bin/env bash
# Version: dask and distributed 2026.8.0 (NumPy 2.4.6, Python 3.13)
# Seen: the delayed chunks that to_delayed() gives of a persisted array do not keep its data. Once the array itself
# is collected, computing them raises FutureCancelledError. They hold the names of the data and no futures; without
# a distributed client the same lines work.
# Expected: delayed chunks that are complete by themselves, as those of an array that is not persisted are.
# Output:
#   while the array is held: 1000.0
#   afterwards: FutureCancelledError
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "dask[array,distributed]==2026.8.0" numpy==2.4.6
cat > "$folder/chunks.py" <<'EOF'
import gc
import sys
import time

import dask
import dask.array as da
from distributed import Client

if __name__ == "__main__":
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50):
        array = da.ones(1000, chunks=500).persist()
        total = dask.delayed(sum)([dask.delayed(sum)(chunk) for chunk in array.to_delayed()])
        print(f"while the array is held: {total.compute()}")
        del array
        gc.collect()
        time.sleep(1.0)
        try:
            total.compute()
        except Exception as error:
            print(f"afterwards: {type(error).__name__}")
        else:
            sys.exit(1)
EOF
"$folder/venv/bin/python" "$folder/chunks.py"
