"""How far two spike trains are apart in time, not only in count.

M. C. W. van Rossum, A novel spike distance, Neural Computation 13(4):751-763, 2001.
"""

import math
from typing import Any

import torch
from torch import Tensor

from phc_snn.scan import affine_scan


def van_rossum_distance(a: Tensor, b: Tensor, time_constant: float = 10.0) -> Tensor:
    """Distance of each pair of spike trains: both smoothed by an exponential, then compared.

    ``D**2 = 1/tau sum_t (f[t] - g[t])**2`` with ``f[t] = exp(-1/tau) f[t-1] + a[t]``, and g of b
    likewise: van Rossum's distance (2001) in steps, with the sum ending where the trains end. A
    spike that one train has and the other lacks is worth about 0.7 (less within tau of the end);
    one that is moved by much less than tau is worth little.

    Args:
        a, b: Spike trains of one shape and any dtype, time first, (T, ...).
        time_constant: tau in steps, above 0. Default 10.

    Returns:
        (...), one distance for each train; 0 for T = 0.

    Raises:
        TypeError: Spike trains that are no tensors, or a time constant that is no number.
        ValueError: Shapes that differ, or a time constant that is not positive.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(50, 1), torch.zeros(50, 1)
        >>> a[10], b[11] = 1.0, 1.0
        >>> bool(van_rossum_distance(a, b) < van_rossum_distance(a, torch.zeros(50, 1)))
        True
    """
    for name, train in (("a", a), ("b", b)):
        if not isinstance(train, Tensor):
            raise TypeError(f"{name}: got {type(train).__name__}, expected a torch.Tensor (T, ...)")
    if a.shape != b.shape:
        raise ValueError(f"b: got shape {tuple(b.shape)}, expected that of a, {tuple(a.shape)}")
    check_time_constant(time_constant)
    # The filter is linear: the difference of the traces is the trace of the difference.
    difference = a.double() - b.double()
    decay = torch.tensor(math.exp(-1.0 / time_constant), dtype=torch.float64, device=a.device)
    trace = affine_scan(decay, difference)
    return (trace.square().sum(0) / time_constant).sqrt()


def check_time_constant(value: Any) -> None:
    """Refuse what is not a positive, finite number."""
    if not isinstance(value, int | float):
        kind = type(value).__name__
        raise TypeError(f"time_constant: got {kind}, expected a positive number of steps")
    if not 0 < value < math.inf:
        raise ValueError(f"time_constant: got {value}, expected a positive number of steps")
