"""Binary S4D: a spike wherever the output of an S4D is positive."""

from typing import Any, ClassVar

from phc_snn.neurons.s4d import S4D
from phc_snn.surrogate import FastSigmoid


class BinaryS4D(S4D):
    """`S4D` with a spike at its output and no reset (Binary-S4D, of Stan and Rhodes 2024).

    ::

        s[t] = H(y[t] - threshold)

    with the y of `S4D`, whose arguments it takes. The threshold is 0 and the surrogate derivative
    that of `FastSigmoid`.

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, y, state = phc.BinaryS4D(3).scan(torch.randn(100, 2, 3))
        >>> torch.equal(spikes, (y > 0).float())
        True
    """

    SURROGATE = FastSigmoid()
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.5}
