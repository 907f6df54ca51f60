"""Dask's workers: without tapegrad, of another version, come later, killed; and clients that are closed."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.pieces import workers
from tapegrad.pieces.shard import Shard, computed

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

N = 30_000
RNG = np.random.default_rng(71)
X = RNG.normal(size=(N, 3))
Y = RNG.poisson(np.exp(X @ [0.3, -0.2, 0.1])).astype(float)
START = dict(b=np.zeros(3))
THETA = np.array([0.2, -0.1, 0.3])


def loglik(b, X, y):
    eta = X @ b
    return (y * eta - np.exp(eta)).sum()


def chunked():
    return dict(X=da.from_array(X, chunks=(5_000, 3)), y=da.from_array(Y, chunks=5_000))


# Versions ---------------------------------------------------------------------------------------------------


class Client:
    """A client whose workers have these versions."""

    status = "running"

    def __init__(self, **versions):
        self.versions = versions
        self.asked = []

    def nthreads(self):
        return dict.fromkeys(self.versions, 1)

    def run(self, function, workers):
        self.asked.append(list(workers))
        return {name: function() if self.versions[name] == "own" else self.versions[name] for name in workers}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            "0.0.1",
            r"the worker b of Dask has tapegrad 0\.0\.1, and the process that asks it .*: the same",
        ),
        (
            None,
            r"the worker b of Dask cannot import tapegrad: install tapegrad .* there, or take",
        ),
    ],
)
def test_workers_that_cannot_compute_are_refused(found, said, monkeypatch):
    monkeypatch.setattr(distributed, "default_client", lambda: Client(a="own", b=found))
    with pytest.raises(RuntimeError, match=said):
        tg.trace(loglik, START, data=chunked())


def test_workers_that_come_later_are_asked_too(monkeypatch):
    monkeypatch.setattr(workers, "SECONDS", 0.0)
    client = Client(a="own", b="own")
    known = workers.Workers(client)
    known.check()
    assert client.asked == [["a", "b"]]
    client.versions["c"] = "own"
    known.check()
    assert client.asked == [["a", "b"], ["c"]]
    client.versions["d"] = "0.0.1"
    with pytest.raises(RuntimeError, match=r"the worker d of Dask has tapegrad 0\.0\.1"):
        known.check()
    del client.versions["d"]
    client.status = "closed"
    with pytest.raises(RuntimeError, match="the Dask client is closed with whose workers"):
        known.check()


def test_a_worker_of_another_version_does_not_compute_what_it_is_sent():
    traced = tg.trace(loglik, START, data=dict(X=X, y=Y), sufficient_statistics=False)
    (each,) = traced.plan.split(N).rounds
    sent = Shard(each, N, "replay", "0.0.1")
    assert Shard(each, N, "replay").version == workers.version()
    with pytest.raises(RuntimeError, match=r"a worker of Dask has .*, and the process that asks it 0\.0\.1"):
        computed(sent, None, ("X", "y"), False, THETA)


def test_what_asks_a_worker_needs_nothing_of_tapegrad():
    """It is sent by value: in a process that lacks the package it says so."""
    cloudpickle = pytest.importorskip("cloudpickle")
    sent = cloudpickle.dumps(workers._asking())
    program = textwrap.dedent(
        """
        import sys, pickle, cloudpickle
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "tapegrad":
                    raise ModuleNotFoundError("No module named 'tapegrad'", name="tapegrad")
        sys.meta_path.insert(0, Blocked())
        print(pickle.loads(sys.stdin.buffer.read())())
        """
    )
    run = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=False)
    assert run.stdout.decode().strip() == "None", run.stderr.decode()
    assert workers._asking()() == tg.__version__


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Dask's processes that end
def test_a_worker_without_tapegrad(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS", 0.0)
    blocking = tmp_path / "blocking.py"
    blocking.write_text(
        textwrap.dedent(
            """
            import sys
            class Blocked:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] == "tapegrad":
                        raise ModuleNotFoundError("No module named 'tapegrad'", name="tapegrad")
            sys.meta_path.insert(0, Blocked())
            """
        )
    )
    options = dict(n_workers=0, processes=False, protocol="tcp://", dashboard_address=":0")
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--nthreads", "1", "--no-dashboard", "--no-nanny"]
        started = []

        def start(*more):
            quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started.append(subprocess.Popen([*command, *more], **quiet))
            client.wait_for_workers(len(started), timeout=30)

        try:
            start()
            traced = tg.trace(loglik, START, data=chunked())
            value = traced.value_flat(THETA)
            start("--preload", str(blocking))
            with pytest.raises(RuntimeError, match="cannot import tapegrad: install tapegrad"):
                traced.value_flat(THETA)
            with pytest.raises(RuntimeError, match="cannot import tapegrad: install tapegrad"):
                tg.trace(loglik, START, data=chunked())
            started[-1].terminate()
            started.pop().wait()
            while len(client.nthreads()) > 1:
                time.sleep(0.05)
            assert traced.value_flat(THETA) == value
        finally:
            for process in started:
                process.terminate()
                process.wait()


# Clients that are closed ------------------------------------------------------------------------------------

CLOSED = "the Dask client is closed with whose workers the data are"


@pytest.fixture
def client():
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def test_what_a_worker_holds_it_computes_in_few_tasks(client):
    traced = tg.trace(loglik, START, data=chunked())
    first = traced.value_and_grad_flat(THETA)  # piece by piece: nobody holds any yet
    rows = traced._router.current.rows
    again = traced.value_and_grad_flat(THETA)
    _, shares = rows._shared
    assert sorted(place for share in shares for place in share) == [0, 1, 2, 3, 4, 5]
    assert len(shares) == workers.TASKS_TO_A_THREAD
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])


def test_pieces_are_shared_out_by_who_holds_them():
    found = workers.Workers(Client(a="own", b="own"))
    pieces = [dask.delayed(i, name=f"piece-{i}") for i in range(7)]
    holders = {piece.key: ["b"] if i % 3 == 0 else ["a", "b"] for i, piece in enumerate(pieces)}
    found._client.who_has = lambda pieces: holders
    assert found.shares(pieces) == [[0, 3], [6], [1, 2], [4, 5]]
    holders[pieces[2].key] = []
    assert found.shares(pieces) is None


def test_a_client_that_is_closed_between_calls_and_in_a_fit(client):
    traced = tg.trace(loglik, START, data=chunked())
    value = traced.value_flat(THETA)
    assert value == pytest.approx(loglik(THETA, X, Y), rel=1e-12)
    seen = []

    def close(iteration):
        seen.append(iteration)
        client.close()

    with pytest.raises(RuntimeError, match=CLOSED):
        tg.fit(loglik, START, data=chunked(), callback=close)
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match=CLOSED):
        traced.value_flat(THETA)
    with pytest.raises(RuntimeError, match=CLOSED):  # which is still Dask's default, where it was entered
        tg.trace(loglik, START, data=chunked())


def test_a_client_that_is_closed_before():
    frames, pandas = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    options = dict(threads_per_worker=1, processes=False, dashboard_address=":0")
    with distributed.LocalCluster(n_workers=1, **options) as cluster:
        found = distributed.Client(cluster)
        data = {name: array.persist() for name, array in chunked().items()}
        table = frames.from_pandas(pandas.DataFrame(dict(y=Y)), npartitions=3).persist()
        found.close()
        lost = data, dict(X=X, y=table["y"])
        with dask.config.set(scheduler="synchronous"):
            for each in lost:
                with pytest.raises(
                    RuntimeError, match="the workers of a Dask client that is closed: persist"
                ):
                    tg.trace(loglik, START, data=each)
            # What nobody but this process holds is computed here.
            traced = tg.trace(loglik, START, data=chunked())
            assert traced.value_flat(THETA) == pytest.approx(loglik(THETA, X, Y), rel=1e-12)
        with (
            dask.config.set(scheduler="dask.distributed"),
            pytest.raises(
                RuntimeError, match="Dask is set to compute with the workers of a client, and none"
            ),
        ):
            tg.trace(loglik, START, data=chunked())


# Workers that die -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Dask's processes that end
def test_a_worker_that_is_killed_in_a_fit_costs_no_result():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        expected = tg.fit(loglik, START, data=chunked())
        killed = []

        def kill(iteration):
            if iteration.nit in (2, 4):
                pids = client.run(os.getpid)
                killed.append(next(iter(pids.values())))
                os.kill(killed[-1], signal.SIGKILL)

        found = tg.fit(loglik, START, data=chunked(), callback=kill)
        assert len(killed) == 2
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.cov_params(), expected.cov_params())
        assert (found.llf, found.nit, found.nfev) == (expected.llf, expected.nit, expected.nfev)
