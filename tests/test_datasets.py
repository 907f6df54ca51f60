"""The shipped data against published moments and, where installed, statsmodels' copy."""

import numpy as np
import pytest

from tapegrad.datasets import load_randhie

COLUMNS = ("mdvis", "lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp")


def test_randhie_has_the_published_columns_and_moments() -> None:
    data = load_randhie()
    assert tuple(data) == COLUMNS
    for column in data.values():
        assert column.shape == (20190,)
        assert column.dtype == np.float64
        assert column.flags.c_contiguous
    # From pandas' describe() of statsmodels' copy: these hold where statsmodels is not installed.
    np.testing.assert_allclose(data["mdvis"].mean(), 2.860426, atol=5e-7)
    np.testing.assert_allclose(data["mdvis"].std(ddof=1), 4.504365, atol=5e-7)
    np.testing.assert_allclose(data["disea"].mean(), 11.244492, atol=5e-7)
    np.testing.assert_allclose(data["physlm"].std(ddof=1), 0.322016, atol=5e-7)
    assert set(np.unique(data["idp"])) == {0.0, 1.0}


def test_randhie_is_statsmodels_copy() -> None:
    randhie = pytest.importorskip("statsmodels.datasets.randhie")
    theirs = randhie.load_pandas().data
    for name, column in load_randhie().items():
        np.testing.assert_array_equal(column, theirs[name])
