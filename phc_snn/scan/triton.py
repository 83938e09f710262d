"""The scan on a GPU, in Triton: one launch, one pass over memory.

With many lanes a thread walks along its own, operation by operation in the step's order and without
contraction: the bits of `reference`. With few lanes of real numbers that leaves most of the
processor idle, and tiles of time are scanned at once, equal to rounding; ``"sequential"`` does not
take these (`phc_snn.scan.triton_sequential`).
"""

from typing import Any

import torch
from torch import Tensor

from phc_snn.scan import triton_kernels
from phc_snn.scan.affine import refusal_beside

ADJOINT = "triton"

FEW = 256
"""Lanes up to which tiles of time are taken. On an H100 they are 2.2 times faster with 128 lanes of
17,984 steps, and 1.7 times slower with 512 of 3,000."""

LANES = {"BLOCK": 64, "num_warps": 1}
WORDS = 32
"""Numbers of 4 bytes that a thread asks for at once of each of its lanes, for the next steps. With
half as many an H100 took 10 % longer for 32,768 lanes."""

TILES = {"BLOCK": 8, "TILE": 256, "num_warps": 4}


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """Say what this backend lacks, or None."""
    return refusal_beside("cuda", "a GPU", b)


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    return launch(a, b, h0, reverse, tiles=b[:1].numel() <= FEW and not b.is_complex())


def launch(a: Tensor, b: Tensor, h0: Tensor, reverse: bool, *, tiles: bool) -> Tensor:
    """One of the two forms."""
    out = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    if b.numel() == 0:
        return out
    shape = b.shape[1:]
    lanes = shape.numel()
    arrays = [
        _rows(a.expand(a.shape[0], *shape)),
        _rows(b),
        _rows(h0.expand(shape)),
        torch.view_as_real(out) if b.is_complex() else out,
    ]
    constant = a.shape[0] == 1
    options: dict[str, Any] = LANES
    if tiles:
        options = TILES | {"CONSTANT": constant}
        kernel: Any = triton_kernels.real_tiles
    else:
        number = "complex" if b.is_complex() else "real"
        words = b.itemsize // 4 * (1 if constant else 2)
        steps = max(WORDS // words, 8)
        kernel = triton_kernels.walk(number=number, constant=constant, unroll=steps, ahead=1)
    kernel[(-(-lanes // options["BLOCK"]),)](
        *arrays,
        b.shape[0],
        lanes * (2 if b.is_complex() else 1),
        REVERSE=reverse,
        enable_fp_fusion=tiles,  # elsewhere every operation rounds, as in the step
        **options,
    )
    return out


def _rows(x: Tensor) -> Tensor:
    """``x`` contiguous, complex numbers as pairs."""
    x = x.resolve_conj().contiguous()
    return torch.view_as_real(x) if x.is_complex() else x
