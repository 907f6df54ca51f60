"""A loop of a million operations is recorded, shortened and differentiated in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, warnings
import numpy as np
warnings.simplefilter("error")
import tapegrad as tg
from benchmarks.memory import meter

n = 100_000
y = np.random.default_rng(1).normal(size=n)

def loglik(mu, log_omega, alpha, beta):
    omega, h, ll, e = np.exp(log_omega), 1.0, 0.0, 0.0
    for t in range(n):
        h = omega + alpha * e * e + beta * h
        e = y[t] - mu
        ll -= 0.5 * (np.log(h) + e * e / h)
    return ll

at = dict(mu=0.05, log_omega=-2.0, alpha=0.1, beta=0.8)
traced = tg.trace(loglik, at)
value, grad = traced.value_and_grad(at)
traced.hessian(at)
plain = loglik(**{name: np.float64(x) for name, x in at.items()})
step = 1e-5
slope = loglik(**{**at, "beta": 0.8 + step}) - loglik(**{**at, "beta": 0.8 - step})
print(json.dumps(dict(entries=len(traced.tape.entries), value=value, plain=plain,
                      beta=grad["beta"], slope=slope / (2 * step), peak=meter().peak())))
"""


@pytest.mark.slow
def test_a_loop_of_a_million_operations() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["entries"] > 1_000_000
    assert found["value"] == pytest.approx(found["plain"], rel=1e-12)
    assert found["beta"] == pytest.approx(found["slope"], rel=1e-6)  # differences know no more digits
    assert found["peak"] < 1_000_000_000
