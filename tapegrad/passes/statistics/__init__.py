"""Sums over rows that a few rows can stand for."""
