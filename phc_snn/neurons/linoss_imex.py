"""LinOSS-IMEX: oscillators that keep their energy."""

from typing import Any, ClassVar

from phc_snn.neurons.linoss import LinOSS


class LinOSSIMEX(LinOSS):
    """Linear oscillatory state-space model, implicit and explicit by turns (LinOSS-IMEX).

    `LinOSS` with a damping of 1 (Rusch and Rus 2025): an oscillation that was started stays, and
    nothing is forgotten.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, output, state = phc.LinOSSIMEX(3, states=8).scan(torch.randn(100, 2, 3))
        >>> output.shape
        torch.Size([100, 2, 3])
    """

    DAMPED = False
    forgets = False
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 1.0}
