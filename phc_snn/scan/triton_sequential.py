"""`phc_snn.scan.triton` with the bits of a step-by-step loop, whatever the number of lanes."""

from torch import Tensor

from phc_snn.scan.triton import launch, refusal

__all__ = ["ADJOINT", "refusal", "scan"]

ADJOINT = "triton_sequential"


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    return launch(a, b, h0, reverse, tiles=False)
