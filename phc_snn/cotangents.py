"""Cotangents through a part of a graph."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cotangents_of(
    outputs: Sequence[Tensor],
    sources: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """The cotangents of ``sources``, of those outputs that have one and depend on something.

    None for sources that want none, counters for example.
    """
    pairs = [
        (output, cotangent)
        for output, cotangent in zip(outputs, cotangents, strict=True)
        if cotangent is not None and output.requires_grad
    ]
    if not pairs:
        return [None] * len(sources)
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            [source for source in sources if source.requires_grad],
            [cotangent for _, cotangent in pairs],
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    )
    return [next(found) if source.requires_grad else None for source in sources]
