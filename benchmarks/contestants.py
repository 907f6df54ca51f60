"""Ways to compute the value and the gradient of a model.

A contestant is a function of the model, its data and the starting parameters. It does whatever has to be done
once and returns the function to call at each new set of parameters, or None if it cannot take the model.

The other libraries are imported by name at run time: they are optional, and type-checked as unknown.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import numpy as np
from scipy import special

import tapegrad as tg
from benchmarks.models import Data, Model, Theta, ValueAndGrad
from tapegrad import graph

Array: TypeAlias = np.ndarray[Any, Any]
Prepare: TypeAlias = Callable[[Model, Data, Theta], ValueAndGrad | None]

JAX_LOOP_LIMIT: Final = 1_000  # observations; XLA compiles an unrolled loop of 10,000 for many minutes


def plain(model: Model, data: Data) -> Callable[..., Any]:
    """The model as a user writes it: a function of the parameters, in NumPy."""

    def loglik(**theta: Any) -> Any:
        return model.loglik(np, special, **data, **theta)

    return loglik


def use_graph(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    loglik = plain(model, data)
    return lambda theta: graph.value_and_grad(loglik, theta)


def use_tape(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tg.LongTapeWarning)  # of the loops, which are there for that
        return tg.trace(plain(model, data), start, backend="numpy").value_and_grad


def use_hand(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    arrays = {name: np.asarray(column) for name, column in data.items()}
    return lambda theta: model.by_hand(**arrays, **theta)


def use_autograd(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    autograd: Any = import_module("autograd")
    anp: Any = import_module("autograd.numpy")
    aspecial: Any = import_module("autograd.scipy.special")

    call: ValueAndGrad = autograd.value_and_grad(lambda theta: model.loglik(anp, aspecial, **data, **theta))
    return call


def use_jax(model: Model, data: Data, start: Theta) -> ValueAndGrad | None:
    if model.is_loop and len(data["x"]) > JAX_LOOP_LIMIT:
        return None
    jax, loglik, arrays = for_jax(model, data)
    compiled = jax.jit(jax.value_and_grad(loglik))

    def call(theta: Theta) -> Any:
        return jax.block_until_ready(compiled(theta, arrays))

    return call


def for_jax(model: Model, data: Data) -> tuple[Any, Callable[[Theta, Data], Any], Data]:
    """JAX itself, the model as a new function of parameters and arrays, and its arrays."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    jspecial: Any = import_module("jax.scipy.special")

    jax.config.update("jax_enable_x64", True)
    # The floats of a loop become constants of the compiled code; arrays are its arguments.
    fixed = data if model.is_loop else {}
    arrays = {} if model.is_loop else {name: jnp.asarray(column) for name, column in data.items()}

    def loglik(theta: Theta, arrays: Data) -> Any:
        return model.loglik(jnp, jspecial, **fixed, **arrays, **theta)

    return jax, loglik, arrays


def use_torch(model: Model, data: Data, start: Theta) -> ValueAndGrad:
    torch: Any = import_module("torch")

    def tensor(item: Any, requires_grad: bool = False) -> Any:
        return torch.tensor(item, dtype=torch.float64, requires_grad=requires_grad)

    def logaddexp(a: Any, b: Any) -> Any:
        return torch.logaddexp(*(item if torch.is_tensor(item) else tensor(item) for item in (a, b)))

    xp = SimpleNamespace(exp=torch.exp, log=torch.log, log1p=torch.log1p, logaddexp=logaddexp, sum=torch.sum)
    columns = data if model.is_loop else {name: tensor(column) for name, column in data.items()}

    def call(theta: Theta) -> tuple[float, Theta]:
        leaves = {name: tensor(item, requires_grad=True) for name, item in theta.items()}
        value = model.loglik(xp, torch.special, **columns, **leaves)
        value.backward()
        return value.item(), {name: leaf.grad.numpy() for name, leaf in leaves.items()}

    return call


def use_casadi(model: Model, data: Data, start: Theta) -> ValueAndGrad | None:
    if model.name == "student_t":
        return None  # CasADi has no log-gamma
    ca: Any = import_module("casadi")

    def logaddexp(a: Any, b: Any) -> Any:
        return ca.fmax(a, b) + ca.log1p(ca.exp(-ca.fabs(a - b)))

    xp = SimpleNamespace(exp=ca.exp, log=ca.log, log1p=ca.log1p, logaddexp=logaddexp, sum=ca.sum1)
    # CasADi's own advice: SX for scalar expressions, MX for operations on arrays.
    symbol = ca.SX if model.is_loop else ca.MX
    columns = data if model.is_loop else {name: ca.DM(column) for name, column in data.items()}
    symbols = {name: symbol.sym(name, np.size(item)) for name, item in start.items()}
    value = model.loglik(xp, None, **columns, **symbols)
    function = ca.Function(
        "value_and_grad", list(symbols.values()), [value, *(ca.gradient(value, s) for s in symbols.values())]
    )

    def call(theta: Theta) -> tuple[float, Theta]:
        value, *grads = function(*theta.values())
        return float(value), {
            name: grad.full().reshape(np.shape(theta[name])) for name, grad in zip(theta, grads, strict=True)
        }

    return call


CONTESTANTS: Final[dict[str, Prepare]] = {"graph": use_graph, "tape": use_tape}
PEERS: Final[dict[str, tuple[str, Prepare]]] = {
    "by hand": ("numpy", use_hand),
    "autograd": ("autograd", use_autograd),
    "jax": ("jax", use_jax),
    "torch": ("torch", use_torch),
    "casadi": ("casadi", use_casadi),
}


def installed_peers() -> dict[str, Prepare]:
    """The other libraries that can be imported here."""
    return {name: prepare for name, (package, prepare) in PEERS.items() if find_spec(package)}
