#!/usr/bin/env bash
# Version: dask 2026.8.0, distributed 2026.8.0 (numpy 2.5.5, Python 3.13)
# Seen: a worker counts an object of a user's class as some 48 bytes, whatever arrays it holds, and of arrays in lists
# and dicts it counts all. These sizes decide what is moved to another worker and what is spilled to disk, so 80 MB
# in an object are moved as if they were nothing, and are not spilled.
# Expected: the size of what the object holds, or a warning that it is not known.
# Output:
#   an array: 80,000,000 bytes; in a list: 80,000,064; in an object: 48; in a dataclass: 48
#   kept by the worker: 48 bytes, and 80 MB of memory
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  distributed==2026.8.0 dask==2026.8.0 numpy==2.5.5
cd "$folder"
cat > shown.py <<'EOF'
import sys
from dataclasses import dataclass

import numpy as np
from dask.sizeof import sizeof
from distributed import Client, wait


class Held:
    def __init__(self, array):
        self.array = array


@dataclass
class Data:
    array: np.ndarray


def made():
    return Held(np.ones(10_000_000))


def counted(dask_worker):
    (key,) = dask_worker.data
    return dask_worker.state.tasks[key].nbytes, dask_worker.data[key].array.nbytes


if __name__ == "__main__":
    array = np.ones(10_000_000)
    sizes = [sizeof(x) for x in (array, [array], Held(array), Data(array))]
    told = "an array: {:,} bytes; in a list: {:,}; in an object: {:,}; in a dataclass: {:,}"
    print(told.format(*sizes))
    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as client:
        kept = client.submit(made)
        wait(kept)
        ((size, memory),) = client.run(counted).values()
    print(f"kept by the worker: {size} bytes, and {memory // 1_000_000} MB of memory")
    sys.exit(int(size > 1_000 or sizes[1] < 80_000_000))
EOF
"$folder/venv/bin/python" -W ignore shown.py
