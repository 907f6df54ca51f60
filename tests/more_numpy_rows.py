"""Further rows of the table of NumPy's functions, with what is special about their arguments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from against_plain import DATA, MASK

HOLES = np.array([1.0, np.nan, 1.0, 1.0, np.nan])
HOLES_IN_ROWS = np.array([[1.0, np.nan, 1.0], [1.0, 1.0, 1.0]])
POINTS = np.array([0.0, 1.0, 3.0, 4.0, 7.0])
EDGES = [-2.0, -1.0, 0.05, 1.0, 2.1]


def _each(make: Any, *values: Any) -> list[Any]:
    return [make(value) for value in values]


def _fix(x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from NumPy 2.5 on
        return np.fix(x)


def _stretched(q: Any) -> Any:
    """Symmetric, with eigenvalues far from each other."""
    return q + q.T + np.diag([9.0, -4.0, 1.0])


MORE: dict[Any, list[Any]] = {
    # Types and shapes
    np.result_type: [lambda v: v * (np.result_type(v, 1.0) == np.float64)],
    np.can_cast: [lambda v: v * np.can_cast(v, np.float64) + np.can_cast(v, int)],
    np.min_scalar_type: [lambda v: v * (np.min_scalar_type(v) == np.float64)],
    np.common_type: [lambda v: v * (np.common_type(v, DATA) == np.float64)],
    np.isrealobj: [lambda v: v * np.isrealobj(v)],
    np.iscomplex: [lambda v: np.iscomplex(v) + v, lambda s: np.iscomplex(s) + s],
    np.isreal: [lambda v: np.isreal(v) * v],
    np.imag: [lambda v: np.imag(v) + v],
    np.real_if_close: [lambda v: np.real_if_close(v) * 2.0],
    np.angle: [lambda v: np.angle(v), lambda v: np.angle(v, deg=True)],
    np.tril_indices_from: [lambda q: q[np.tril_indices_from(q, -1)]],
    np.triu_indices_from: [lambda q: q[np.triu_indices_from(q, 1)]],
    np.diag_indices_from: [lambda q: q[np.diag_indices_from(q)]],
    np.einsum_path: [lambda m: m if np.einsum_path("ij,kj", m, m)[0] else None],
    np.array2string: [lambda v: v * bool(np.array2string(v))],
    np.array_repr: [lambda v: v * bool(np.array_repr(v))],
    np.array_str: [lambda v: v * bool(np.array_str(v))],
    np.astype: [lambda v: np.astype(v, float) * np.astype(v, int)],
    # Tests
    np.array_equiv: [lambda v, w: np.array_equiv(v, w) + v, lambda v, u: np.array_equiv(v, u) + v[0]],
    np.isneginf: [lambda v: np.isneginf(np.log(0.0 * v))],
    np.isposinf: [lambda v: np.isposinf(1.0 / (0.0 * np.abs(v)))],
    np.isin: [
        lambda u: np.isin(u, u[:2]),
        lambda u, v: np.isin(u, np.append(v, u[3]), invert=True),
        lambda v: np.isin(v, [0.5, 2.3]),
    ],
    # Moved
    np.resize: [lambda v: np.resize(v, (2, 4))],
    np.diagflat: [lambda m: np.diagflat(m, 1), lambda v: np.diagflat(v)],
    np.rollaxis: [
        lambda c: np.rollaxis(c, 2),
        lambda c: np.rollaxis(c, 0, 3),
        lambda c: np.rollaxis(c, -1, 1),
    ],
    np.unstack: [lambda c: np.unstack(c, axis=1)],
    np.trim_zeros: [
        lambda v: np.trim_zeros(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0]) * np.concatenate([v, v])),
        lambda v: np.trim_zeros(np.array([0.0, 1.0, 0.0]) * v, "f"),
        lambda v: np.trim_zeros(np.array([0.0, 1.0, 0.0]) * v, "b"),
    ],
    np.fft.fftshift: [lambda u: np.fft.fftshift(u)],
    np.fft.ifftshift: [lambda m: np.fft.ifftshift(m, axes=1)],
    np.unravel_index: [lambda m: m[np.unravel_index(m.argmax(), m.shape)]],
    np.ravel_multi_index: [lambda u: u[np.ravel_multi_index((0, u.argmax()), (1, 5))]],
    # On parts
    np.piecewise: [
        lambda v: np.piecewise(v, [v < 0.0, v > 1.0], [lambda x: x**2, np.exp, 0.5]),
        lambda v, s: np.piecewise(v, v < 0.0, [s, lambda x: 2.0 * x]),
        lambda v: np.piecewise(v, [v > 0.0], [lambda x, k: k * np.log(x)], 3.0),
        lambda s: np.piecewise(s, [s < 0.0], [1.0, 2.0]),
    ],
    np.choose: [
        lambda v, w: np.choose([0, 1, 1], [v, w]),
        lambda v, s: np.choose([[0], [2]], [v, s, 1.0], mode="clip"),
        lambda u: np.choose((u > 0.5).astype(int), [u, 2.0 * u]),
    ],
    np.apply_along_axis: [
        lambda m: np.apply_along_axis(np.sort, 1, m),
        lambda m: np.apply_along_axis(lambda row: row.sum() * row[0], 0, m),
        lambda c: np.apply_along_axis(lambda row: np.outer(row, row), 1, c),
    ],
    np.apply_over_axes: [lambda c: np.apply_over_axes(np.sum, c, [0, 2])],
    # Matrices
    np.linalg.svd: [
        lambda q: np.linalg.svd(q),
        lambda m: np.linalg.svd(m, full_matrices=False),
        lambda n: np.linalg.svd(n, full_matrices=False),
        lambda n: np.linalg.svd(n, compute_uv=False),
    ],
    np.linalg.svdvals: [lambda n: np.linalg.svdvals(n)],
    np.linalg.matrix_rank: [
        lambda m: np.linalg.matrix_rank(m) * m,
        lambda v: np.linalg.matrix_rank(np.outer(v, v), tol=1e-8) * v,
        lambda v: np.linalg.matrix_rank(v) * v,
    ],
    np.linalg.pinv: [lambda m: np.linalg.pinv(m), lambda n: np.linalg.pinv(n, rcond=1e-10)],
    np.linalg.lstsq: [
        lambda n, v: np.linalg.lstsq(n, v),
        lambda n, q: np.linalg.lstsq(n, q, rcond=None),
        lambda m, v: np.linalg.lstsq(m, v[:2]),
    ],
    np.linalg.qr: [
        lambda n: np.linalg.qr(n),
        lambda m: np.linalg.qr(m),
        lambda q: np.linalg.qr(q, "complete"),
        lambda n: np.linalg.qr(n, mode="r"),
    ],
    np.linalg.eigvals: [
        lambda q: np.linalg.eigvals(_stretched(q)).real,
        lambda q: np.linalg.eigvals(np.diag([9.0, -4.0, 1.0]) + q).real,
    ],
    np.linalg.eig: [
        lambda q: [part.real for part in np.linalg.eig(_stretched(q))],
        lambda q: np.linalg.eig(np.diag([9.0, -4.0, 1.0]) + q).eigenvectors.real,
    ],
    np.linalg.matrix_power: _each(
        lambda n: lambda q: np.linalg.matrix_power(q / 3.0 + np.eye(3), n) + 0.0 * q, 0, 1, 5, -2
    ),
    np.linalg.cond: _each(
        lambda p: lambda q: np.linalg.cond(q, p), None, 2, -2, 1, -1, np.inf, -np.inf, "fro"
    ),
    np.linalg.matrix_norm: [
        lambda c: np.linalg.matrix_norm(c),
        lambda c: np.linalg.matrix_norm(c, ord=2, keepdims=True),
    ],
    np.linalg.vector_norm: [
        lambda c: np.linalg.vector_norm(c, axis=(0, 2), ord=3, keepdims=True),
        lambda c: np.linalg.vector_norm(c),
        lambda c: np.linalg.vector_norm(c, axis=-1, ord=np.inf),
    ],
    np.linalg.tensorsolve: [
        lambda q, m: np.linalg.tensorsolve(np.kron(np.eye(2), q).reshape(2, 3, 6), m),
        lambda q, m: np.linalg.tensorsolve(
            np.kron(np.eye(2), q).reshape(2, 3, 2, 3).transpose(0, 2, 1, 3), m.reshape(2, 3), axes=(1,)
        ),
    ],
    np.linalg.tensorinv: [lambda q: np.linalg.tensorinv(np.kron(np.eye(2), q).reshape(2, 3, 6), ind=2)],
    np.linalg.trace: [lambda c: np.linalg.trace(c), lambda c: np.linalg.trace(c, offset=-1)],
    np.linalg.outer: [lambda v, u: np.linalg.outer(v, u)],
    np.linalg.matmul: [lambda m, n: np.linalg.matmul(m, n)],
    np.linalg.tensordot: [lambda m, n: np.linalg.tensordot(m, n, axes=1)],
    np.linalg.vecdot: [lambda c: np.linalg.vecdot(c, c, axis=1)],
    np.linalg.cross: [lambda m, v: np.linalg.cross(m, v)],
    np.cross: [
        lambda v, w: np.cross(v, w),
        lambda m, v: np.cross(m, v),
        lambda n: np.cross(n, n[:, ::-1] + DATA[:, None], axis=0),
    ],
    np.matvec: [lambda c, v: np.matvec(c, v[:2])],
    np.vecmat: [lambda c, v: np.vecmat(v, c)],
    np.correlate: [
        lambda u, v: np.correlate(u, v),
        lambda u, v: np.correlate(v, u, "full"),
        lambda u, v: np.correlate(u, v, "same"),
        lambda u, v: np.correlate(v, u, mode="same"),
    ],
    # Polynomials
    np.polyadd: [lambda u, v: np.polyadd(u, v), lambda s, v: np.polyadd(s, v)],
    np.polysub: [lambda u, v: np.polysub(v, u)],
    np.polymul: [lambda u, v: np.polymul(u, v), lambda v: np.polymul(np.concatenate([[0.0], v]), v)],
    np.polyder: [lambda u: np.polyder(u), lambda u: np.polyder(u, 2)],
    np.polyint: [
        lambda u: np.polyint(u),
        lambda u, s: np.polyint(u, 2, s),
        lambda u, v: np.polyint(u, m=2, k=v[:2]),
    ],
    np.poly: [lambda v: np.poly(v)],
    np.vander: [
        lambda v: np.vander(v),
        lambda v: np.vander(v, 2, increasing=True),
        lambda v: np.vander(v, 1),
    ],
    np.polyfit: [
        lambda u: np.polyfit(POINTS, u, 2),
        lambda u: np.polyfit(u, POINTS, 1),
        lambda u: np.polyfit(POINTS, u, 1, w=np.arange(1.0, 6.0)),
        lambda u: np.polyfit(POINTS, u, 1, cov=True),
        lambda u: np.polyfit(POINTS, u, 1, cov="unscaled"),
        lambda u: np.polyfit(POINTS, np.stack([u, u**2], 1), 1),
    ],
    # Differences, slopes, areas
    np.ediff1d: [lambda u: np.ediff1d(u), lambda m, s: np.ediff1d(m, to_begin=s, to_end=[1.0, 2.0])],
    np.cumulative_sum: [
        lambda u: np.cumulative_sum(u),
        lambda m: np.cumulative_sum(m, axis=1, include_initial=True),
    ],
    np.cumulative_prod: [lambda u: np.cumulative_prod(u, include_initial=True)],
    np.gradient: [
        lambda u: np.gradient(u),
        lambda u: np.gradient(u, 0.5),
        lambda u: np.gradient(u, POINTS),
        lambda u: np.gradient(u, POINTS, edge_order=2),
        lambda m: np.gradient(m),
        lambda m: np.gradient(m, 0.5, 2.0),
        lambda c: np.gradient(c, axis=1),
        lambda u, p: np.gradient(u, p[0], edge_order=2),
    ],
    np.unwrap: [
        lambda u: np.unwrap(4.0 * u),
        lambda m: np.unwrap(4.0 * m, axis=0),
        lambda m: np.unwrap(9.0 * m, period=3.0),
        lambda m: np.unwrap(9.0 * m, discont=4.0),
    ],
    np.geomspace: [
        lambda p: np.geomspace(p[0], p[1], 4),
        lambda p: np.geomspace(p, 2.0, 4, endpoint=False),
    ],
    # Missing values
    np.nancumsum: [lambda u: np.nancumsum(u * HOLES)],
    np.nancumprod: [lambda m: np.nancumprod(m * HOLES_IN_ROWS, axis=1)],
    np.nanargmax: [lambda u: np.nanargmax(u * HOLES) * u],
    np.nanargmin: [lambda m: np.nanargmin(m * HOLES_IN_ROWS, axis=1)],
    np.nanmedian: [
        lambda u: np.nanmedian(u * HOLES),
        lambda m: np.nanmedian(m * HOLES_IN_ROWS, axis=0),
        lambda c: np.nanmedian(c, axis=(0, 2)),
    ],
    np.nanquantile: [lambda m: np.nanquantile(m * HOLES_IN_ROWS, [0.2, 0.7], axis=1, keepdims=True)],
    np.nanpercentile: [lambda u: np.nanpercentile(u * HOLES, 30)],
    # Distinct values, bins, orders
    np.unique: [
        lambda u: np.unique(u),
        lambda u: np.unique(np.round(u), return_index=True, return_inverse=True, return_counts=True),
        lambda m: np.unique(m, return_inverse=True),
        lambda u: np.unique(u * HOLES, return_index=True, return_counts=True)[1:],
    ],
    np.unique_values: [lambda u: np.sort(np.unique_values(u))],
    np.unique_counts: [lambda u: np.unique_counts(u).counts],
    np.unique_inverse: [lambda u: np.unique_inverse(u)],
    np.unique_all: [lambda u: np.unique_all(u)],
    np.union1d: [lambda u, v: np.union1d(u, v)],
    np.setdiff1d: [lambda u: np.setdiff1d(u, u[:2])],
    np.intersect1d: [lambda u: np.intersect1d(u, u[:2])],
    np.setxor1d: [lambda u, v: np.setxor1d(u, np.concatenate([u[:2], v]))],
    np.digitize: [
        lambda u: np.digitize(u, [-1.0, 0.05, 1.0]),
        lambda u: np.digitize(u, [1.0, 0.05, -1.0], right=True),
        lambda v: np.digitize(DATA, np.sort(v)),
    ],
    np.histogram: [
        lambda u: np.histogram(u, bins=EDGES),
        lambda u: np.histogram(u, 4),
        lambda u: np.histogram([0.1, 0.5, 0.9, 0.2, 0.3], 4, weights=u),
        lambda u: np.histogram(u, 3, range=(-1.0, 1.0), density=True),
        lambda u: np.histogram([0.1, 0.5, 0.9, 0.2, 0.3], 3, density=True, weights=np.exp(u)),
    ],
    np.histogram_bin_edges: [lambda u: np.histogram_bin_edges(u, 3)],
    np.partition: [lambda u: np.partition(u, 2), lambda m: np.partition(m, [0, 1], axis=1)],
    np.argpartition: [lambda u: np.argpartition(u, 2)],
    np.lexsort: [lambda u: np.lexsort((u, np.round(u))), lambda m: np.lexsort(m)],
    # Elementwise
    np.fix: [lambda v: _fix(3.0 * v)],
    np.sinc: [lambda v: np.sinc(v), lambda v: np.sinc(0.0 * v)],
    np.i0: [lambda v: np.i0(v)],
    np.modf: [lambda v: np.modf(3.0 * v)],
    np.ldexp: [lambda v: np.ldexp(v, [1, -2, 3])],
    np.emath.sqrt: [lambda p: np.emath.sqrt(p)],
    np.emath.log: [lambda p: np.emath.log(p)],
    np.emath.log2: [lambda p: np.emath.log2(p)],
    np.emath.log10: [lambda p: np.emath.log10(p)],
    np.emath.logn: [lambda p: np.emath.logn(3.0, p)],
    np.emath.power: [lambda p: np.emath.power(p, 2.5)],
    np.emath.arccos: [lambda p: np.emath.arccos(p)],
    np.emath.arcsin: [lambda p: np.emath.arcsin(p)],
    np.emath.arctanh: [lambda p: np.emath.arctanh(p)],
}

# Arguments of functions that have rows already.
FORMS: dict[Any, list[Any]] = {
    np.reshape: [
        lambda m: np.reshape(m, (3, 2), order="F"),
        lambda c: np.reshape(c.T, (4, 3), order="A"),
        lambda c: c.reshape((4, -1), order="F"),
    ],
    np.ravel: [lambda c: c.ravel("F") + c.T.ravel("K") + c.T.ravel("A"), lambda m: m.T.flatten("F")],
    np.dot: [
        lambda c, q: np.dot(c, np.stack([q[:2], q[1:]])),
        lambda c, n: np.dot(c, n.T),
        lambda v, c: np.dot(v[:2], c.transpose(0, 2, 1)),
    ],
    np.inner: [lambda c: np.inner(c, c)],
    np.einsum: [
        lambda c, v: np.einsum("...i,i", c[:, :, 0], v),
        lambda c, m: np.einsum("...ij,...j->...i", c.transpose(0, 2, 1), m[:, None, :]),
        lambda q, m: np.einsum("ij,kj->ik", q, m),
        lambda v, w, m: np.einsum("i,j,kj->ki", v, w, m),
        lambda q, c: np.einsum(q, [0, 1], c, [2, 1, 3], [2, 0, 3]),
        lambda v, q: np.einsum("i,ij,j", v, q, v, optimize=True),
        lambda c: np.einsum("i...->...", c),
        lambda q, v: np.einsum("bi,bi->b", q, v[None]),
        lambda q: np.einsum("ii,j->j", q, q[0]),
        lambda c, u: np.einsum("aij,k->kij", c, u),
        lambda v: np.einsum("i,i,i->", v, v, v),
        lambda q: np.einsum("ij,jk,kl->il", q, q, q),
        lambda q: np.einsum("ij,ij->", q, q[:1]),
    ],
    np.vecdot: [lambda n: np.vecdot(n, n, axis=0)],
    np.linalg.norm: [
        *_each(lambda o: lambda m: np.linalg.norm(m, o), "nuc", 1, -1, 2, -2, np.inf, -np.inf),
        *_each(
            lambda o: lambda m: np.linalg.norm(m, o, axis=1, keepdims=True), 0, 3, -1, 0.5, np.inf, -np.inf
        ),
        lambda c: np.linalg.norm(c, 1, axis=(2, 0)),
        lambda c: np.linalg.norm(c),
    ],
    np.cov: [
        lambda v, w: np.cov(v, w),
        lambda m: np.cov(m, fweights=[1, 2, 1]),
        lambda m, p: np.cov(m, aweights=p),
        lambda m, p: np.cov(m, fweights=[1, 2, 1], aweights=p, ddof=0),
    ],
    np.corrcoef: [lambda v, w: np.corrcoef(v, w), lambda n, m: np.corrcoef(n, m.T, rowvar=False)],
    np.sum: [
        lambda m: np.sum(m, where=m > 0.0, initial=2.0),
        lambda m: m.sum(axis=1, where=[True, False, True]),
        lambda m, s: np.sum(m, 0, initial=s),
        lambda m: np.sum(m > 0.0, axis=1, dtype=int),
    ],
    np.prod: [lambda m: np.prod(m, initial=3.0, where=m > 0.0)],
    np.max: [
        lambda m: np.max(m, axis=1, initial=0.3, where=m > 0.0),
        lambda m: np.max(m[:0], axis=0, initial=1.0) + m,
    ],
    np.min: [lambda m: np.min(m, initial=-1.4)],
    np.mean: [lambda m: m.mean(axis=0, where=m > -1.0)],
    np.var: [
        lambda m: np.var(m, ddof=1, where=m > -1.0),
        lambda m: np.var(m, axis=0, mean=np.mean(m, axis=0, keepdims=True), correction=1),
    ],
    np.std: [lambda m: np.std(m, axis=1, where=MASK)],
    np.all: [lambda m: np.all(m > 0.0, where=m > -0.3)],
    np.any: [lambda m: np.any(m > 2.0, axis=1, where=[True, False, True])],
    np.nansum: [lambda m: np.nansum(m * HOLES_IN_ROWS, axis=1, where=m > 0.0, initial=1.0)],
    np.nanprod: [lambda u: np.nanprod(u * HOLES, initial=2.0)],
    np.nanmean: [lambda u: np.nanmean(u * HOLES, where=u > -1.0)],
    np.nanvar: [lambda m: np.nanvar(m * HOLES_IN_ROWS, axis=0, where=[[True], [True]])],
    np.nanmin: [lambda m: np.nanmin(m * HOLES_IN_ROWS, axis=1, initial=0.0, where=m > -1.0)],
    np.quantile: _each(
        lambda how: lambda u: np.quantile(u, [0.0, 0.13, 0.5, 0.77, 1.0], method=how),
        *("lower", "higher", "nearest", "midpoint", "hazen", "weibull", "median_unbiased", "inverted_cdf"),
        *("normal_unbiased", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf"),
    ),
    np.percentile: [lambda u: np.percentile(u, [20, 50], method="hazen")],
    np.interp: [
        lambda v: np.interp([0.0, 1.0, 5.0, 7.0], [1.0, 2.0, 3.0], v, period=4.0),
        lambda s, v: np.interp(s, [1.0, 2.0, 3.0], v, period=4.0),
    ],
    np.searchsorted: [lambda u: np.searchsorted(u, 0.45, sorter=np.argsort(u))],
    np.trapezoid: [lambda m: np.trapezoid(m, np.array([[0.0, 1.0, 3.0], [1.0, 2.0, 5.0]]))],
    np.diff: [lambda u, s: np.diff(u, prepend=s), lambda m: np.diff(m, n=2, axis=0, append=0.0)],
    np.linspace: [
        lambda v, w: np.linspace(v, w, 4),
        lambda v, s: np.linspace(v, s, 3, axis=-1),
        lambda s, t: np.linspace(s, t, 5, retstep=True),
    ],
    np.logspace: [lambda v: np.logspace(v, 1.0, 3)],
    np.meshgrid: [lambda v, u: np.meshgrid(v, u, sparse=True)],
    np.array_equal: [lambda v: np.array_equal(np.log(v), np.log(v), equal_nan=True) + v],
    np.roll: [lambda m: np.roll(m, (1, 2), axis=(0, 1))],
    np.insert: [
        lambda v: np.insert(v, [0, 2], 7.0),
        lambda v, w: np.insert(v, [0, 2], w[:2]),
        lambda m, v: np.insert(m, [1], v[:2, None], axis=1),
        lambda m: np.insert(m, slice(0, 2), m[:, :2], axis=1),
    ],
    np.pad: [
        *_each(
            lambda how: lambda m: np.pad(m, ((1, 2), (1, 1)), mode=how),
            "edge",
            "reflect",
            "symmetric",
            "wrap",
        ),
        lambda v, w: np.pad(v, (1, 2), constant_values=w[:2]),
        lambda m: np.pad(m, 1, constant_values=((1.0, 2.0), (3.0, 4.0))),
    ],
    np.take: [lambda v: np.take(v, [5, -1, 1], mode="wrap")],
    np.logaddexp.reduce: [lambda m: np.logaddexp.reduce(m, axis=1, initial=0.5, where=m > -0.3)],
}
