"""Symmetric positive definite sparse matrices: factorisation, determinants, parts of the inverse."""

from tapegrad.sparse.indefinite import NotPositiveDefinite
from tapegrad.sparse.pattern import Pattern, pattern_of
from tapegrad.sparse.symbolic import Factor, Symbolic, analyse

__all__ = ["Factor", "NotPositiveDefinite", "Pattern", "Symbolic", "analyse", "pattern_of"]
