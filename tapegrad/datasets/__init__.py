"""Data sets shipped with the package: real data for the demonstration, the examples and the tests."""

import gzip
from importlib.resources import files

import numpy as np
import numpy.typing as npt

__all__ = ["load_randhie"]


def load_randhie() -> dict[str, npt.NDArray[np.float64]]:
    """Visits to a doctor in the RAND Health Insurance Experiment, 20,190 person-years.

    Returns
    -------
    dict of str to ndarray, each of shape (20190,)
        mdvis
            Number of outpatient visits to a doctor in the year: the count to be explained.
        lncoins
            log(coinsurance rate + 1), the rate in percent, 0 to 100.
        idp
            1 if the plan has an individual deductible, else 0.
        lpi
            log(max(1, annual participation incentive payment)).
        fmde
            0 if idp is 1, else log(max(1, maximum expenditure / (0.01 coinsurance rate))).
        physlm
            1 if the person has a physical limitation, else 0 (a few are imputed, in between).
        disea
            Number of chronic diseases (an index, not whole).
        hlthg, hlthf, hlthp
            1 if the person rates their own health good, fair, poor; all 0 for excellent.

    Notes
    -----
    Collected by the RAND Corporation; used in, and published with, A. C. Cameron and P. K. Trivedi,
    *Microeconometrics: Methods and Applications*, Cambridge University Press, 2005. In the public domain. The
    file is statsmodels' ``datasets/randhie/randhie.csv``, unchanged but for the compression.

    Examples
    --------
    >>> from tapegrad.datasets import load_randhie
    >>> visits = load_randhie()["mdvis"]
    >>> visits.size, float(visits.max())
    (20190, 77.0)
    """
    packed = files(__name__).joinpath("randhie.csv.gz").read_bytes()
    header, *rows = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(rows, delimiter=",", dtype=np.float64)
    return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(header.split(","))}
