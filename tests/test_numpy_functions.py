"""NumPy on traced values: what is recorded gives what plain NumPy gives, shapes included, at any parameters.

One table holds every function of `tapegrad.ops.NUMPY`; one that is added there without a row here fails.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest
from against_plain import DATA, MASK, arguments, check, leaves
from more_numpy_rows import FORMS, MORE
from scipy import special

import tapegrad as tg
import tapegrad.special as tgs
from tapegrad.ops import NUMPY, Op
from tapegrad.ops.registry import BOOL

pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")

# The table --------------------------------------------------------------------------------------------------

ROWS: dict[Any, list[Any]] = {
    np.shape: [lambda m: m * np.shape(m)[1]],
    np.ndim: [lambda m: m * np.ndim(m), lambda s: s + np.ndim(s)],
    np.size: [lambda m: m * np.size(m), lambda m: m * np.size(m, 0)],
    np.iscomplexobj: [lambda v: v * np.iscomplexobj(v) + v],
    np.real: [lambda v: np.real(v)],
    # Shapes
    np.reshape: [
        lambda m: np.reshape(m, (3, 2)),
        lambda m: np.reshape(m, -1),
        lambda s: np.reshape(s, (1, 1)),
        lambda m: np.reshape(m, shape=(6,), order="C"),
    ],
    np.ravel: [lambda c: np.ravel(c), lambda s: np.ravel(s)],
    np.expand_dims: [lambda v: np.expand_dims(v, 0), lambda m: np.expand_dims(m, (0, -1))],
    np.squeeze: [lambda v: np.squeeze(v[None, :, None]), lambda v: np.squeeze(v[None, :, None], axis=2)],
    np.atleast_1d: [lambda s: np.atleast_1d(s), lambda m: np.atleast_1d(m), lambda s, v: np.atleast_1d(s, v)],
    np.atleast_2d: [lambda s: np.atleast_2d(s), lambda v: np.atleast_2d(v), lambda s, m: np.atleast_2d(s, m)],
    np.atleast_3d: [lambda s, m: np.atleast_3d(s, m), lambda v: np.atleast_3d(v), lambda c: np.atleast_3d(c)],
    np.transpose: [
        lambda m: np.transpose(m),
        lambda c: np.transpose(c, (2, 0, 1)),
        lambda v: np.transpose(v),
    ],
    np.permute_dims: [lambda c: np.permute_dims(c, axes=(1, -1, 0))],
    np.matrix_transpose: [lambda c: np.matrix_transpose(c)],
    np.linalg.matrix_transpose: [lambda c: np.linalg.matrix_transpose(c)],
    np.swapaxes: [lambda c: np.swapaxes(c, 0, -1)],
    np.moveaxis: [lambda c: np.moveaxis(c, 0, -1), lambda c: np.moveaxis(c, (0, 1), (-1, 0))],
    np.broadcast_to: [lambda v: np.broadcast_to(v, (2, 3)), lambda s: np.broadcast_to(s, 4)],
    np.broadcast_arrays: [lambda s, v: np.broadcast_arrays(s, v, DATA[:, None])],
    # Choices
    np.where: [lambda v: np.where(v > 0.4, v, DATA), lambda v: v[np.where(v > 0.4)].sum()],
    np.select: [
        lambda v: np.select([v < 0.0, v > 1.0], [v**2, 3.0 * v], default=v - 1.0),
        lambda v, s: np.select([v < 0.0, MASK], [s, 3.0 * v]),
    ],
    np.clip: [
        lambda v: np.clip(v, -0.5, 1.0),
        lambda v: np.clip(v, None, 1.0),
        lambda v, s: np.clip(DATA, s, v),
        lambda v: np.clip(v, min=0.0),
        lambda v: np.clip(v, a_min=-0.5, a_max=None),
    ],
    np.nan_to_num: [
        lambda v: np.nan_to_num(np.log(v)),
        lambda v: np.nan_to_num(v / np.array([0.0, 1.0, 0.0]), posinf=3.0),
    ],
    # Indexing and joins
    np.take: [
        lambda v: np.take(v, [2, 0, 2]),
        lambda m: np.take(m, [0, 2], axis=1),
        lambda m: np.take(m, np.array([[1], [5]])),
        lambda m: np.take(m, 1, axis=-1),
        lambda v: np.take(v, np.argsort(v)),
    ],
    np.take_along_axis: [
        lambda m: np.take_along_axis(m, np.argsort(m, axis=1), axis=1),
        lambda m: np.take_along_axis(m, np.array([[2], [0]]), axis=1),
    ],
    np.flip: [lambda c: np.flip(c), lambda c: np.flip(c, 1), lambda c: np.flip(c, axis=(0, -1))],
    np.fliplr: [lambda m: np.fliplr(m)],
    np.flipud: [lambda m: np.flipud(m)],
    np.rot90: [
        *(
            lambda m: np.rot90(m),
            lambda m: np.rot90(m, 2),
            lambda m: np.rot90(m, -1),
            lambda m: np.rot90(m, 4),
        ),
        lambda c: np.rot90(c, axes=(-1, 1)),
    ],
    np.roll: [lambda m: np.roll(m, 2), lambda m: np.roll(m, -1, axis=1)],
    np.repeat: [
        lambda m: np.repeat(m, 2),
        lambda m: np.repeat(m, 2, axis=0),
        lambda v: np.repeat(v, [1, 0, 3]),
        lambda s: np.repeat(s, 3),
    ],
    np.tile: [lambda v: np.tile(v, 2), lambda m: np.tile(m, (2, 1)), lambda s: np.tile(s, 3)],
    np.diag: [
        lambda v: np.diag(v),
        lambda v: np.diag(v, k=-1),
        lambda m: np.diag(m),
        lambda m: np.diag(m, 1),
    ],
    np.diagonal: [
        lambda m: np.diagonal(m),
        lambda q: np.diagonal(q, offset=-1),
        lambda c: np.diagonal(c, 0, 1, 2),
        lambda c: np.diagonal(c, offset=1, axis1=2, axis2=0),
    ],
    np.linalg.diagonal: [lambda q: np.linalg.diagonal(q), lambda c: np.linalg.diagonal(c, offset=1)],
    np.trace: [lambda q: np.trace(q), lambda q: np.trace(q, offset=1), lambda c: np.trace(c, 0, 2, 0)],
    np.diff: [lambda u: np.diff(u), lambda u: np.diff(u, n=2), lambda m: np.diff(m, axis=0)],
    np.concatenate: [
        lambda v, w: np.concatenate([v, w]),
        lambda m, n: np.concatenate((m, n.T, DATA[None, :]), axis=0),
        lambda m, v: np.concatenate([m, v], axis=None),
        lambda v: np.concatenate([[1.0], v, [2.0, 3.0]]),
        lambda s, v: np.concatenate([[s], v]),
    ],
    np.stack: [
        lambda s, t: np.stack([s, 1.0, t]),
        lambda v, w: np.stack([v, w], axis=1),
        lambda v, w: np.stack((v, DATA, w), axis=-1),
    ],
    np.hstack: [lambda s, v: np.hstack([s, v]), lambda m, n: np.hstack([m, n.T])],
    np.vstack: [lambda v, m: np.vstack([v, m]), lambda s, t: np.vstack([s, t])],
    np.column_stack: [lambda v, w: np.column_stack([np.ones(3), v, w]), lambda v, n: np.column_stack([v, n])],
    np.append: [
        lambda v, s: np.append(v, s),
        lambda m: np.append(m, [[1.0, 2.0, 3.0]], axis=0),
        lambda s: np.append(0.0, s),
    ],
    np.dstack: [
        lambda v, w: np.dstack([v, w]),
        lambda m: np.dstack((m, m + 1.0)),
        lambda s: np.dstack([s, s]),
    ],
    np.block: [
        lambda q, v: np.block([[q, v[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]),
        lambda v, s: np.block([v, s, 2.0]),
        lambda s, v: np.block([[v], [DATA], [1.0, s, 2.0]]),
        lambda m: np.block(m),
    ],
    np.array_split: [lambda u: np.array_split(u, 3), lambda u: np.array_split(u, [1, 1, 4])],
    np.split: [
        lambda m: np.split(m, 3, axis=1),
        lambda u: np.split(u, [2, 3]),
        lambda u: np.split(u, [3, 9]),
    ],
    np.hsplit: [lambda m: np.hsplit(m, 3), lambda u: np.hsplit(u, [2])],
    np.vsplit: [lambda m: np.vsplit(m, 2)],
    np.dsplit: [lambda c: np.dsplit(c, [1])],
    np.insert: [
        lambda v: np.insert(v, 0, 0.0),
        lambda v, s: np.insert(v, -1, s),
        lambda v: np.insert(v, 1, [7.0, 8.0]),
        lambda m, s: np.insert(m, 1, s, axis=1),
        lambda m, v: np.insert(m, 2, v, axis=0),
    ],
    np.delete: [lambda v: np.delete(v, 1), lambda m: np.delete(m, [0, 2], axis=1)],
    np.extract: [lambda u: np.extract(u > 0.5, u).sum(), lambda v: np.extract(MASK, v)],
    np.compress: [
        lambda m: np.compress(m[0] > -0.3, m, axis=1).sum(),
        lambda m: np.compress([True, False], m, 0),
    ],
    np.pad: [
        lambda v: np.pad(v, 1),
        lambda v, s: np.pad(v, (2, 0), constant_values=s),
        lambda m: np.pad(m, ((1, 0), (0, 2)), mode="constant"),
    ],
    np.tril: [lambda q: np.tril(q), lambda m: np.tril(m, -1)],
    np.triu: [lambda q: np.triu(q), lambda m: np.triu(m, k=1)],
    np.outer: [lambda v, w: np.outer(v, w), lambda v: np.outer(DATA, v), lambda m, v: np.outer(m, v)],
    np.bincount: [
        lambda u: np.bincount([0, 2, 2, 0, 1], weights=u),
        lambda u: np.bincount(np.array([0, 2, 2, 0, 1]), u, minlength=5),
        lambda u: u[0] * np.bincount((u > 0.5).astype(int)),
    ],
    np.logspace: [lambda s, t: np.logspace(s, t, 4), lambda s: np.logspace(0, s, num=3, base=2.0)],
    np.meshgrid: [
        lambda v, u: np.meshgrid(v, u),
        lambda v, w: np.meshgrid(v, w, DATA, indexing="ij"),
        lambda v, w: np.meshgrid(v, w, copy=False),
    ],
    np.linspace: [
        lambda s, t: np.linspace(s, t, 4),
        lambda s: np.linspace(0.0, s, num=3, endpoint=False),
        lambda s: np.linspace(s, 2.0, 1),
    ],
    # Products
    np.dot: [
        lambda s, v: np.dot(s, v),
        lambda v, w: np.dot(v, w),
        lambda m, v: np.dot(m, v),
        lambda m, n: np.dot(m, n),
        lambda c, u: np.dot(c, u[:2]),
    ],
    np.vdot: [lambda m, n: np.vdot(m, n.T)],
    np.inner: [lambda v, w: np.inner(v, w), lambda m, q: np.inner(m, q), lambda m, v: np.inner(m, v)],
    np.tensordot: [
        lambda m, n: np.tensordot(m, n, 1),
        lambda c, n: np.tensordot(c, n, axes=([1, 2], [0, 1])),
        lambda c, m: np.tensordot(c, m, axes=(0, 0)),
        lambda v, w: np.tensordot(v, w, axes=0),
    ],
    np.einsum: [
        lambda m, v: np.einsum("ij,j->i", m, v),
        lambda m, n: np.einsum("ij,jk->ik", m, n),
        lambda n, q: np.einsum("ia,ij,ja->a", n, q, n),
        lambda q: np.einsum("ii", q),
        lambda q: np.einsum("ii->i", q),
        lambda c: np.einsum("ijk->kji", c),
        lambda v, w: np.einsum("i,j", v, w),
        lambda s, v: np.einsum(",i->i", s, v),
    ],
    np.vecdot: [lambda m, v: np.vecdot(m, v), lambda c: np.vecdot(c, c)],
    np.linalg.multi_dot: [lambda v, q, m: np.linalg.multi_dot([v, q, m.T])],
    np.kron: [lambda m, n: np.kron(m, n), lambda v, m: np.kron(v, m)],
    np.convolve: [
        lambda u, v: np.convolve(u, v),
        lambda v, u: np.convolve(v, u, "same"),
        lambda u: np.convolve(u, [0.5, 0.5], mode="valid"),
        lambda u, n: np.convolve(u, n.ravel()[:4], mode="same"),
    ],
    np.polyval: [
        lambda v, s: np.polyval(v, s),
        lambda v, m: np.polyval(v, m),
        lambda v: np.polyval([1.0, 2.0], v),
    ],
    np.corrcoef: [
        lambda q: np.corrcoef(q),
        lambda n: np.corrcoef(n, rowvar=False),
        lambda v: np.corrcoef(v),
    ],
    np.cov: [
        lambda m: np.cov(m),
        lambda n: np.cov(n, rowvar=False, bias=True),
        lambda v: np.cov(v),
        lambda m: np.cov(m, ddof=0),
    ],
    np.trapezoid: [
        lambda u: np.trapezoid(u),
        lambda u: np.trapezoid(u, dx=0.1),
        lambda v: np.trapezoid(v, [0.0, 0.5, 2.0]),
        lambda m: np.trapezoid(m, x=np.array([1.0, 4.0]), axis=0),
        lambda v: np.trapezoid(np.exp(v), v),
    ],
    np.linalg.norm: [
        lambda v: np.linalg.norm(v),
        lambda m: np.linalg.norm(m),
        lambda m: np.linalg.norm(m, axis=1),
        lambda m: np.linalg.norm(m, ord=1, axis=0, keepdims=True),
        lambda m: np.linalg.norm(m, "fro"),
        lambda v: np.linalg.norm(v, 2),
    ],
    np.linalg.solve: [
        lambda q, v: np.linalg.solve(q + 2.0 * np.eye(3), v),
        lambda q, n: np.linalg.solve(q, n),
    ],
    np.linalg.inv: [lambda q: np.linalg.inv(q + 2.0 * np.eye(3))],
    np.linalg.det: [lambda q: np.linalg.det(q), lambda q: np.linalg.det(np.stack([q, DATA * q]))],
    np.linalg.slogdet: [lambda q: np.linalg.slogdet(q), lambda q: np.linalg.slogdet(q - np.eye(3)).logabsdet],
    np.linalg.cholesky: [
        lambda q: np.linalg.cholesky(q @ q.T + np.eye(3)),
        lambda q: np.linalg.cholesky(q.T @ q + np.eye(3), upper=True),
    ],
    np.linalg.eigvalsh: [lambda q: np.linalg.eigvalsh(q), lambda q: np.linalg.eigvalsh(q, UPLO="U")],
    np.linalg.eigh: [lambda q: np.linalg.eigh(q), lambda q: np.linalg.eigh(q, "U")],
    # Sums and their like
    np.sum: [
        lambda m: np.sum(m),
        lambda m: np.sum(m, 1),
        lambda c: np.sum(c, axis=(0, -1)),
        lambda m: np.sum(m, axis=0, keepdims=True),
        lambda m: np.sum(m, 0, float),
        lambda s: np.sum(s),
        lambda m: np.sum(m, axis=()),
        lambda m: np.sum(m[:0], axis=0),
        lambda s: np.sum(s, axis=0) + np.max(s, axis=-1),
    ],
    np.mean: [
        lambda m: np.mean(m),
        lambda c: np.mean(c, axis=(1, 2), keepdims=True),
        lambda m: np.mean(m > 0.4, axis=0),
        lambda m: np.mean(m, dtype=np.float64),
    ],
    np.var: [
        lambda m: np.var(m),
        lambda m: np.var(m, axis=1, ddof=1),
        lambda m: np.var(m, 1, None, None, 1),
        lambda m: np.var(m, axis=0, keepdims=True),
    ],
    np.std: [lambda u: np.std(u), lambda m: np.std(m, axis=1, ddof=1, keepdims=True)],
    np.average: [
        lambda m: np.average(m),
        lambda m: np.average(m, axis=1, weights=[1.0, 2.0, 3.0]),
        lambda q, v: np.average(q, axis=0, weights=v),
        lambda m, n: np.average(m, weights=n.T),
        lambda v: np.average(DATA, weights=v),
    ],
    np.cumsum: [lambda u: np.cumsum(u), lambda m: np.cumsum(m), lambda m: np.cumsum(m, axis=-1)],
    np.cumprod: [lambda u: np.cumprod(u), lambda m: np.cumprod(m), lambda m: np.cumprod(m, 0)],
    np.prod: [
        lambda u: np.prod(u),
        lambda c: np.prod(c, axis=(0, 2)),
        lambda m: np.prod(m, axis=1, keepdims=True),
    ],
    np.max: [lambda m: np.max(m), lambda m: np.max(m, axis=0), lambda c: np.max(c, (0, 1), keepdims=True)],
    np.min: [lambda m: np.min(m), lambda m: np.min(m, axis=1), lambda m: np.min(m, 0, None, True)],
    np.amax: [lambda m: np.amax(m, axis=0)],
    np.amin: [lambda m: np.amin(m, axis=0)],
    np.ptp: [lambda u: np.ptp(u), lambda m: np.ptp(m, axis=1)],
    np.argmax: [lambda u: u * np.argmax(u), lambda m: np.argmax(m, axis=1), lambda m: np.argmax(m)],
    np.argmin: [lambda u: u * np.argmin(u), lambda m: np.argmin(m, axis=0, keepdims=True)],
    np.all: [
        lambda m: np.all(m > 0.0),
        lambda m: np.all(m > -1.5, axis=1),
        lambda m: np.all(m, keepdims=True),
    ],
    np.any: [lambda m: np.any(m > 2.0), lambda m: np.any(m < -1.0, axis=0)],
    np.nansum: [lambda u: np.nansum(np.log(u)), lambda m: np.nansum(np.log(m), axis=1)],
    np.nanprod: [lambda u: np.nanprod(np.log(u))],
    np.nanmean: [lambda u: np.nanmean(np.log(u)), lambda m: np.nanmean(np.sqrt(m), axis=0, keepdims=True)],
    np.nanvar: [lambda u: np.nanvar(np.log(u)), lambda m: np.nanvar(np.sqrt(m), axis=1, ddof=0.5)],
    np.nanstd: [lambda u: np.nanstd(np.log(u), ddof=1, keepdims=True)],
    np.nanmax: [lambda u: np.nanmax(np.log(u)), lambda m: np.nanmax(np.log(m), axis=0, keepdims=True)],
    np.nanmin: [lambda u: np.nanmin(np.log(u)), lambda m: np.nanmin(np.log(m), axis=1)],
    np.count_nonzero: [lambda u: np.count_nonzero(u > 0.5), lambda m: np.count_nonzero(m > 0, axis=1)],
    # Order
    np.argsort: [
        lambda u: np.argsort(u),
        lambda m: np.argsort(m, axis=0),
        lambda u: np.argsort(u, stable=True),
        lambda m: np.argsort(m, axis=None),
    ],
    np.sort: [
        lambda u: np.sort(u),
        lambda m: np.sort(m, axis=0, kind="stable"),
        lambda u: np.sort(u, stable=True),
        lambda m: np.sort(m, axis=None),
        lambda c: np.sort(c, axis=1),
    ],
    np.median: [
        lambda u: np.median(u),
        lambda m: np.median(m, axis=0),
        lambda c: np.median(c, axis=(0, 2), keepdims=True),
    ],
    np.quantile: [
        lambda u: np.quantile(u, 0.3),
        lambda m: np.quantile(m, [0.0, 0.25, 0.8, 1.0], axis=1),
        lambda c: np.quantile(c, [0.1, 0.9], axis=(0, 1), keepdims=True),
    ],
    np.percentile: [lambda u: np.percentile(u, 40), lambda m: np.percentile(m, [10, 65], axis=0)],
    np.searchsorted: [
        lambda u: np.searchsorted([-1.0, 0.5, 1.5], u),
        lambda u: np.searchsorted(np.sort(u), 0.5, side="right"),
    ],
    np.interp: [
        lambda u: np.interp(u, [-0.5, 0.5, 1.5], [1.0, 3.0, -2.0]),
        lambda v: np.interp([-2.0, -0.3, 0.7, 2.0, 9.0], [-1.0, 0.5, 2.0], v),
        lambda s, v: np.interp(s, [0.0, 1.0, 2.0], v, left=-7.0, right=8.0),
    ],
    # Tests
    np.isclose: [
        lambda v: np.isclose(v, 2.3),
        lambda v: np.isclose(DATA, v, atol=1.0),
        lambda v: np.isclose(np.log(v), np.log(v), equal_nan=True),
    ],
    np.allclose: [lambda v: np.allclose(v, DATA, rtol=0.5, atol=1.0), lambda v: np.allclose(v, v + 1e-9)],
    np.array_equal: [lambda v: np.array_equal(v, v + 0.0), lambda v, u: np.array_equal(v, u) + v[0]],
    # Elementwise functions that are not ops
    np.round: [
        lambda v: np.round(v),
        lambda v: np.round(v, 1),
        lambda v: np.round(100.0 * v, decimals=-1),
        lambda s: np.round(s, 2),
    ],
    np.around: [lambda v: np.around(v, 1)],
    np.positive: [lambda v: np.positive(v)],
    np.conjugate: [lambda v: np.conjugate(v)],
    np.copysign: [lambda v, w: np.copysign(v, w), lambda v: np.copysign(1.0, v)],
    np.divmod: [lambda v: np.divmod(v, 0.4), lambda s: np.divmod(DATA, s)],
    # Methods of ufuncs
    np.add.reduce: [
        lambda m: np.add.reduce(m),
        lambda m: np.add.reduce(m, axis=1, keepdims=True),
        lambda m: np.add.reduce(m, axis=None),
        lambda m: np.add.reduce(m, -1, None, None, True),
    ],
    np.add.accumulate: [lambda m: np.add.accumulate(m), lambda m: np.add.accumulate(m, axis=1)],
    np.multiply.reduce: [lambda m: np.multiply.reduce(m), lambda m: np.multiply.reduce(m, axis=(0, 1))],
    np.multiply.accumulate: [lambda m: np.multiply.accumulate(m), lambda m: np.multiply.accumulate(m, 1)],
    np.maximum.reduce: [lambda m: np.maximum.reduce(m)],
    np.minimum.reduce: [lambda m: np.minimum.reduce(m, axis=1), lambda m: np.minimum.reduce(m, axis=None)],
    np.logical_and.reduce: [lambda m: np.logical_and.reduce(m > -1.0)],
    np.logical_or.reduce: [lambda m: np.logical_or.reduce(m > 2.0, axis=1)],
    np.logaddexp.reduce: [lambda m: np.logaddexp.reduce(m), lambda m: np.logaddexp.reduce(m, axis=None)],
}

ROWS.update(MORE)
for _key, _cases in FORMS.items():
    ROWS[_key] = [*ROWS[_key], *_cases]

# What NumPy's protocols do not reach: tapegrad.special has it, and SciPy's own functions are the oracle.
BY_NAME: dict[Any, list[Any]] = {
    special.logsumexp: [
        lambda lib, v: lib.logsumexp(v),
        lambda lib, s: lib.logsumexp(s),
        lambda lib, c: lib.logsumexp(c, axis=(0, 2), keepdims=True),
        lambda lib, m: lib.logsumexp(m, axis=1, b=np.array([0.5, 0.0, 2.0])),
        lambda lib, m: lib.logsumexp(m, b=[[1.0], [3.0]], keepdims=True),
        lambda lib, m, v: lib.logsumexp(m, axis=0, b=v, return_sign=True),
        lambda lib, m: lib.logsumexp(m, axis=0, return_sign=True),
    ],
    special.polygamma: [lambda lib, p: lib.polygamma(1, p), lambda lib, s, p: lib.polygamma(2, p + s**2)],
}
HELPERS = [
    lambda lib, v: lib.softmax(v),
    lambda lib, m: lib.softmax(m, axis=1),
    lambda lib, m: lib.log_softmax(m, axis=0),
    lambda lib, m: lib.log_softmax(1000.0 * m),
    lambda lib, p: lib.multigammaln(p + 1.0, 3),
    lambda lib, s: lib.multigammaln(s**2 + 1.0, 2),
    *(
        functools.partial(lambda lib, p, name: getattr(lib, name)(p), name=name)
        for name in ("expit", "log_expit", "logit", "gammaln", "digamma", "erf", "erfc", "ndtr", "log_ndtr")
    ),
    lambda lib, p, v: lib.xlogy(v, p),
    lambda lib, p, v: lib.xlog1py(v, p),
    lambda lib, p, s: lib.betaln(p, s**2),
]


def rows(table: dict[Any, list[Any]]) -> list[Any]:
    return [
        pytest.param(key, f, id=f"{_name(key)}-{i}")
        for key, cases in table.items()
        for i, f in enumerate(cases)
    ]


def _name(key: Any) -> str:
    owner = getattr(key, "__self__", None)
    return f"{owner.__name__}.{key.__name__}" if isinstance(owner, np.ufunc) else key.__name__


@pytest.mark.parametrize(("key", "f"), rows(ROWS))
def test_function(key, f, monkeypatch):
    met = []
    rule = NUMPY[key]

    @functools.wraps(rule)
    def spied(*args, **kwargs):
        met.append(key)
        return rule(*args, **kwargs)

    monkeypatch.setitem(NUMPY, key, spied)
    check(f, rtol=1e-12)
    # np.where of a condition alone is not a computation, but a decision.
    assert met or (key is np.where and "(v > 0.4)]" in inspect.getsource(f))


def slope(f, theta, direction, h):
    """Along a direction, by extrapolated central differences."""

    def rise(step):
        moved = [{k: theta[k] + sign * step * direction[k] for k in theta} for sign in (1.0, -1.0)]
        up, down = (np.concatenate([np.ravel(x) for x in leaves(f(**m))]).astype(float) for m in moved)
        return (up - down) / (2.0 * step)

    return (4.0 * rise(h / 2.0) - rise(h)) / 3.0


@pytest.mark.parametrize(("key", "f"), rows(ROWS))
def test_derivatives(key, f):
    """Along random directions; composites could lose a derivative that their values do not show."""
    rng = np.random.default_rng(7)
    for start in arguments(f):
        theta = {k: v + rng.uniform(0.01, 0.02, np.shape(v)) for k, v in start.items()}  # off ties and jumps
        direction = {k: rng.normal(size=np.shape(v))[()] for k, v in theta.items()}
        tape = tg.trace(f, theta)
        found = np.concatenate([np.ravel(x) for x in leaves(tape.jvp(theta, direction))])
        with np.errstate(all="ignore"):
            expected = slope(f, theta, direction, 1e-4)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "f", [*(f for cases in BY_NAME.values() for f in cases), *HELPERS], ids=lambda f: "f"
)
def test_function_of_scipy(f):
    here, there = arguments(f)
    tape = tg.trace(lambda **theta: f(tgs, **theta), here)
    for theta in (here, there):
        expected = leaves(f(special, **theta))
        for results in (leaves(tape(theta)), leaves(f(tgs, **theta))):
            assert [np.shape(x) for x in results] == [np.shape(x) for x in expected]
            for x, y in zip(results, expected, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12)


def test_helpers_keep_their_digits_at_the_ends():
    f = tg.trace(lambda v: tgs.softplus(v), np.zeros(3))
    np.testing.assert_array_equal(f([1000.0, -1000.0, 0.0]), [1000.0, 0.0, np.log(2.0)])
    np.testing.assert_array_equal(tgs.log_expit(np.array([-1000.0, 1000.0])), [-1000.0, 0.0])
    np.testing.assert_array_equal(tgs.relu([-1.0, 0.5]), [0.0, 0.5])
    assert tgs.sigmoid(0.3) == special.expit(0.3)
    assert np.isnan(tgs.multigammaln(0.5, 3))
    # A weight of zero hides an exponential that overflows, and nothing of the derivative.
    weighted = tg.trace(lambda a, b: tgs.logsumexp(a, b=b), dict(a=np.zeros(2), b=np.ones(2)))
    theta = dict(a=np.array([2000.0, 1.0]), b=np.array([0.0, 2.0]))
    assert weighted(theta) == pytest.approx(1.0 + np.log(2.0), rel=1e-14)
    near = dict(a=np.array([1.5, 1.0]), b=np.array([0.0, 2.0]))
    np.testing.assert_allclose(weighted.grad(near)["b"], np.exp([1.5, 1.0]) / (2.0 * np.e), rtol=1e-13)


def test_every_function_has_a_row():
    # Ufuncs that are ops are in the next table, and those of scipy.special in one of their own.
    ufuncs = {key: rule for key, rule in NUMPY.items() if isinstance(key, np.ufunc)}
    generic = {key for key, rule in ufuncs.items() if isinstance(rule, Op) or not hasattr(np, key.__name__)}
    # The ufuncs of scipy.special are tested in test_special_support.py.
    own = {x for x in vars(np).values() if isinstance(x, np.ufunc)}
    of_scipy = {key for key in NUMPY if isinstance(key, np.ufunc) and key not in own}
    assert set(NUMPY) - generic - of_scipy == set(ROWS) | set(BY_NAME)


UFUNCS = [
    pytest.param(key, rule, id=key.__name__)
    for key, rule in NUMPY.items()
    if isinstance(key, np.ufunc) and isinstance(rule, Op) and rule.domain
]


@pytest.mark.parametrize(("ufunc", "op"), UFUNCS)
@pytest.mark.parametrize("shapes", [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((1,), (2, 1))], ids=str)
def test_ufunc(ufunc, op, shapes):
    rng = np.random.default_rng(1)

    def drawn(scale: float) -> list[Any]:
        spans = [(low, low + scale * (high - low)) for low, high in op.domain]
        return [rng.uniform(*span, shape)[()] for span, shape in zip(spans, shapes, strict=False)]

    def f(theta: Any) -> Any:
        return ufunc(
            *[
                x > np.mean(span) if op.takes_at(i) == BOOL else x
                for i, (x, span) in enumerate(zip(theta, op.domain, strict=True))
            ]
        )

    tape = tg.trace(f, drawn(1.0))
    for theta in (drawn(1.0), drawn(0.5)):
        np.testing.assert_allclose(tape(theta), f(theta), rtol=1e-14)
        assert np.shape(tape(theta)) == np.shape(f(theta))


@pytest.mark.parametrize("ufunc", [np.subtract, np.multiply, np.maximum, np.logaddexp, np.greater])
def test_outer(ufunc):
    check(lambda v, u: ufunc.outer(v, u))
    check(lambda s, m: ufunc.outer(DATA, m) + ufunc.outer(m[0], s)[:, None, None])
