#!/usr/bin/env bash
# Version: distributed 2026.8.0 (Python 3.13)
# Seen: Client.run(function) raises a plain Exception, whose text is that of the error, if a worker cannot import the
# module of the function; `except ImportError` does not catch it. An ImportError that the function raises itself
# arrives as an ImportError.
# Expected: a ModuleNotFoundError in both cases.
# Output:
#   raised by the function: ModuleNotFoundError, an ImportError: True
#   of its module: Exception, an ImportError: False
#   ModuleNotFoundError("No module named 'tools'")
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.13}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check distributed==2026.8.0
mkdir "$folder/here"
cat > "$folder/here/tools.py" <<'PY'
def version():
    return "1.0"
PY
cat > "$folder/look.py" <<'PY'
import logging
import subprocess
import sys

from distributed import Client, LocalCluster

sys.path.insert(0, sys.argv[1])
import tools


def imports():
    import no_such_module


logging.disable(logging.CRITICAL)
with (
    LocalCluster(n_workers=0, processes=False, protocol="tcp://", dashboard_address=":0") as cluster,
    Client(cluster) as client,
):
    # A worker of its own, as on another machine, without the folder of `tools`.
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny"]
    worker = subprocess.Popen([*command, "--no-dashboard"], stderr=subprocess.DEVNULL)
    try:
        client.wait_for_workers(1)
        kinds = []
        for name, function in (("raised by the function", imports), ("of its module", tools.version)):
            try:
                client.run(function)
            except Exception as error:
                kinds.append(isinstance(error, ImportError))
                print(f"{name}: {type(error).__name__}, an ImportError: {kinds[-1]}")
                last = error
        print(last)
        sys.exit(kinds != [True, False])
    finally:
        worker.terminate()
PY
cd "$folder"
"$folder/venv/bin/python" look.py "$folder/here"
