"""The same kind of work in other libraries, each as its documentation has it.

A peer is a function of an input (T, B, N) that gives an output to differentiate. What they compute
is less than a `PHC` does, never more: none has plasticity, and only Norse's adapts.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import snntorch as snn
import torch
from torch import Tensor, nn

Run = Callable[[Tensor], Tensor]


class _Loop(nn.Module):
    """A layer of snnTorch in the loop that its tutorials write."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_seq: Tensor) -> Tensor:
        states = self.cell.reset_mem()  # type: ignore[operator]
        states = states if isinstance(states, tuple) else (states,)
        membranes = []
        # unbind, not x_seq[t]: the backward of an index is a tensor as long as the sequence.
        for x_t in x_seq.unbind(0):
            _, *states = self.cell(x_t, *states)
            membranes.append(states[-1])
        return torch.stack(membranes)


class _Unbound(nn.Module):
    """Norse's recurrent cell in a loop whose backward is linear in time."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_seq: Tensor) -> Tensor:
        state, spikes = None, []
        for x_t in x_seq.unbind(0):
            out, state = self.cell(x_t, state)
            spikes.append(out)
        return torch.stack(spikes)


def neurons(features: int) -> dict[str, Run]:
    """Layers without recurrence."""
    found: dict[str, Run] = {
        "snnTorch Leaky, loop": _Loop(snn.Leaky(beta=0.9)),
        "snnTorch LeakyParallel": snn.LeakyParallel(features, features, beta=0.9),
        "snnTorch StateLeaky": lambda x: state_leaky(x)[1],
    }
    state_leaky = snn.StateLeaky(beta=0.9, channels=features)
    if installed("spikingjelly"):
        from spikingjelly.activation_based import functional, neuron

        layer = neuron.LIFNode(step_mode="m")

        def jelly(x: Tensor) -> Tensor:
            functional.reset_net(layer)
            return layer(x)  # type: ignore[no-any-return]

        found["SpikingJelly LIFNode, multi-step"] = jelly
    return found


def networks(features: int) -> dict[str, Run]:
    """Recurrent layers, all to all."""
    found: dict[str, Run] = {
        "snnTorch RLeaky, loop": _Loop(
            snn.RLeaky(beta=0.7, linear_features=features, reset_mechanism="none")
        )
    }
    if installed("norse"):
        import norse.torch as norse

        shipped, cell = (
            norse.LSNNRecurrent(features, features),
            norse.LSNNRecurrentCell(features, features),
        )
        found["Norse LSNNRecurrent"] = lambda x: shipped(x)[0]
        found["Norse LSNN cell, linear loop"] = _Unbound(cell)
    return found


def associative(a: Tensor, b: Tensor) -> Tensor:
    """torch's associative scan of affine maps."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def compose(early: tuple[Tensor, Tensor], late: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return early[0] * late[0], late[0] * early[1] + late[1]

    return associative_scan(compose, (a, b), 0, combine_mode="generic")[1]  # type: ignore[no-any-return]


def installed(package: str) -> bool:
    """Whether an optional peer is here: ``uv run --with spikingjelly python -m benchmarks``."""
    return versions([package])[package] is not None


def versions(packages: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
