"""Constrained AdLIF: `AdLIF` with the ranges of Deckers et al. 2024."""

from typing import Any, ClassVar

from phc_snn.neurons.adlif import AdLIF
from phc_snn.parameters import Clipped


class CAdLIF(AdLIF):
    """`AdLIF` whose parameters are held in narrower ranges (cAdLIF, Deckers et al. 2024).

    ``membrane_decay`` in [0.36, 0.96], ``adaptation_decay`` in [0.96, 0.99], ``a`` in [0, 1] and
    ``b`` in [0, 2]; all else as `AdLIF`.

    Example:
        >>> import phc_snn as phc
        >>> neuron = phc.CAdLIF(100)
        >>> bool((neuron.a >= 0.0).all())
        True
    """

    membrane_decay = Clipped(0.36, 0.96)
    adaptation_decay = Clipped(0.96, 0.99)
    a = Clipped(0.0, 1.0)
    b = Clipped(0.0, 2.0)
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.05}
