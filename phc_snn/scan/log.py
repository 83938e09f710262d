"""The log-domain scan of the paper (Chiang 2026, Eq. 2): positive input only.

``h[t] = exp(A[t] + logcumsumexp(log b - A)[t])`` with ``A = cumsum(log a)``. It is parallel over
time by two cumulative sums, but signed currents have no logarithm, and ``A`` grows with T, so its
float32 relative error reaches about 1e-3 at T = 17,984. It is here for comparison, never chosen by
``"auto"``.
"""

import torch
from torch import Tensor

ADJOINT = "associative"  # cotangents are signed


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """Say why the input has no real logarithm, or None."""
    if b.is_complex():
        return "complex input"
    for name, value, positive in (
        ("a", a, a > 0),
        ("b", b, b > 0),
        ("h0", h0, h0 >= 0),  # zero is the state at rest; its logarithm never enters
    ):
        if not bool(positive.all()):
            smallest = value.min().item()
            bound = "non-negative" if name == "h0" else "positive"
            return f"{name} that is not {bound} everywhere (smallest element {smallest:g})"
    return None


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    if b.shape[0] == 0:
        return torch.empty_like(b)
    if reverse:
        return scan(a.flip(0), b.flip(0), h0, reverse=False).flip(0)
    b = torch.cat([a[:1] * h0 + b[:1], b[1:]])
    # The first decay has been used on h0; A starts at zero.
    log_a = torch.log(a).expand(b.shape[0], *a.shape[1:])
    cumulative = torch.cumsum(torch.cat([torch.zeros_like(log_a[:1]), log_a[1:]]), dim=0)
    return torch.exp(cumulative + torch.logcumsumexp(torch.log(b) - cumulative, dim=0))
