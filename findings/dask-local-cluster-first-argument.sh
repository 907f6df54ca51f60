#!/usr/bin/env bash
# Version: distributed 2026.8.0 (Python 3.13)
# Seen: LocalCluster(4) is no cluster of four workers. The first argument is the name of the cluster, which may be a
# number; the number of workers stays what it is without it.
# Expected: four workers, or an error, as a name is a text.
# Output:
#   LocalCluster(4): 1 worker, named 4
#   LocalCluster(n_workers=4): 4 workers
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check distributed==2026.8.0 dask==2026.8.0
cd "$folder"
cat > shown.py <<'EOF'
import sys

from distributed import LocalCluster

if __name__ == "__main__":
    common = dict(threads_per_worker=1, processes=False, dashboard_address=":0")
    with LocalCluster(4, **common) as cluster:
        print(f"LocalCluster(4): {len(cluster.workers)} worker, named {cluster.name!r}")
        is_so = len(cluster.workers) == 1 and cluster.name == 4
    with LocalCluster(n_workers=4, **common) as cluster:
        print(f"LocalCluster(n_workers=4): {len(cluster.workers)} workers")
    sys.exit(int(not is_so))
EOF
"$folder/venv/bin/python" -W ignore shown.py
