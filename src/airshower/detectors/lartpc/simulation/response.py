"""Response of the readout along time: the pulse that deconvolution leaves of a point charge.

LArSoft divides a wire's waveform by the response of field and electronics and multiplies it by a filter, so that the
pulse of a point charge is the filter's Fourier transform: wider than a row, with negative lobes two rows away, whose
pixels are empty, and positive ones three rows away. The filter has the form of SBND's, exp(-(f / f0)^p / 2)
(`signalservices_sbnd.fcl` of sbndcode, in which both induction planes have the same one); f0 and p are read off the
average profile of tracks across time in the public file, with which those there agree to 10 %.
"""

import math
from functools import lru_cache

import numpy as np

PHASES = 4  # cells of a pixel along time: the 0.5 us samples of the digitiser of which a row of SBND's images is made
REACH = 8.0  # us; lobes beyond are below 1 % of a charge
_FREQUENCIES = np.linspace(0.0, 0.5, 1001)  # MHz


FILTERS = ((0.178, 4.5), (0.178, 4.5), (0.21, 7.0))  # f0 (MHz) and p of the planes


def running_pulse(time: np.ndarray, plane: int) -> np.ndarray:
    """Share of a point charge that its pulse has given by `time` (us, any shape) after its middle."""
    edge, power = FILTERS[plane]
    weight = np.exp(-0.5 * (_FREQUENCIES / edge) ** power)
    weight[0] = 0.5  # the trapezium rule
    sines = np.sinc(2.0 * _FREQUENCIES * time[..., None])
    return 0.5 + 2.0 * _FREQUENCIES[1] * time * (sines @ weight)


@lru_cache(maxsize=16)
def taps(plane: int, row: float) -> np.ndarray:
    """Shares of a charge that pixels of `row` us around its own get, for charges in each cell of it.

    [PHASES, pixels] from the pixels before to those after; each phase adds up to one.
    """
    radius = math.ceil(REACH / row)
    edges = np.arange(-radius, radius + 2)
    middle = (np.arange(PHASES)[:, None] + 0.5) / PHASES
    shares = np.diff(running_pulse(row * (edges - middle), plane), axis=1)
    return shares / shares.sum(axis=1, keepdims=True)
