"""What the C code of a network has to compute: its equations, tables and state, by name."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from phc_snn.firmware.names import RESERVED
from phc_snn.kernels import UntraceableError
from phc_snn.kernels.program import Program, network
from phc_snn.kernels.trace import Stage, is_delay
from phc_snn.models import PHCSSM

NEURONS = 1024
"""The most that an index of 16 bits and a microcontroller leave room for."""

STEPS = 2**32 - 1
"""The most that the state counts."""


@dataclass(frozen=True)
class Table:
    """A coefficient of every neuron.

    Attributes:
        name: In the C code.
        values: (N,), float32.
    """

    name: str
    values: Tensor

    @property
    def constant(self) -> float | None:
        """The one value of all neurons; None if they differ."""
        first = self.values[0]
        same = torch.equal(
            self.values.view(torch.int32), first.view(torch.int32).expand(len(self.values))
        )
        return float(first) if same else None


@dataclass(frozen=True)
class Ring:
    """A delay: what was sent, until it arrives.

    Attributes:
        depth: Slots, the longest delay in steps.
        lead: Steps by which the delay of each neuron is shorter, (N,); None if all are the longest.
        binary: Spikes are sent, and nothing else.
    """

    depth: int
    lead: Tensor | None
    binary: bool


@dataclass(frozen=True)
class Plan:
    """A network in float32.

    Attributes:
        model: It.
        program: One time step (`phc_snn.kernels.program`).
        states: Name and first values (N,) of each state, in the program's order.
        tables: Coefficients, in the program's order.
        rings: Delays, in the program's order.
        weight: (N, N), row post, column pre.
        spikes, voltage: Nodes of the program.
    """

    model: PHCSSM
    program: Program
    states: list[tuple[str, Tensor]]
    tables: list[Table]
    rings: list[Ring]
    weight: Tensor
    spikes: int
    voltage: int


@torch.no_grad()
def make_plan(model: PHCSSM) -> Plan:
    """Read a model, and refuse what has no C code.

    Raises:
        TypeError: Something else than a `PHCSSM`.
        ValueError: Weights that are not finite or not float32, neurons whose equations are no
            scalar operations, a delay of no step, or too many neurons.
    """
    if type(model) is not PHCSSM:  # a subclass could compute something else
        raise TypeError(f"model: got {type(model).__name__}, expected a PHCSSM")
    if any(p.device.type != "cpu" for p in model.parameters()):
        model = copy.deepcopy(model).cpu()
    _check(model)
    given = model.network.circuit(torch.float32)._recurrent(
        model.network.initial_state(1, device=model.connectome.raw_weight.device)
    )
    ahead, delay, behind = (
        given.synapses[: given.cut],
        given.synapses[given.cut],
        given.synapses[given.cut + 1 :],
    )
    stages = [delay, *behind, given.neuron, *ahead]
    if not is_delay(delay):
        raise ValueError(
            "delay: got 0 steps, expected at least 1: a step would have to be iterated"
        )
    try:
        program = network(
            given.neuron, ahead, delay, behind, given.connectome.transmit, given.weights
        )
    except UntraceableError as reason:
        kind = type(model.network.neuron).__name__
        raise ValueError(
            f"neuron: {kind} has no C code, it uses {reason}; take one whose equations are scalar "
            "operations, such as ALIF"
        ) from reason
    fired = program.stages[len(behind)]
    lowered, place = program.graph.lowered(torch.float32)
    if lowered.nodes[place[fired.outputs[0]]].op != "number":
        raise ValueError(
            f"neuron: {type(model.network.neuron).__name__} sends rates, expected spikes; give it "
            "a spike function (spike_grad=phc_snn.FastSigmoid())"
        )
    rings = []
    for stage, port in zip(filter(is_delay, stages), program.ports, strict=True):
        if not port.strict:
            raise ValueError("delay: got 0 steps for some neurons, expected at least 1 for each")
        (queue,) = stage.state
        if bool(queue.any()):
            raise ValueError("delay: signals are under way at rest, expected none")
        binary = lowered.nodes[place[port.sent]].op == "number"
        rings.append(Ring(queue.shape[1], stage.coefficients, binary))
    states, tables = _named(stages, model.network.features)
    return Plan(
        model, program, states, tables, rings, given.weights, fired.outputs[0], fired.outputs[1]
    )


def _check(model: PHCSSM) -> None:
    """Refuse weights and sizes that no C code is made of."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.dtype != torch.float32:
            raise ValueError(f"{name}: got {tensor.dtype}, expected float32; use model.float()")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name}: has NaN or Inf, expected finite weights; train it again")
    neurons = model.network.features
    if neurons > NEURONS:
        raise ValueError(f"neurons: got {neurons}, expected at most {NEURONS}")
    if model.windows * (model.window_steps or 0) > STEPS:
        raise ValueError(
            f"window_steps: got {model.window_steps} for {model.windows} windows, expected at most "
            f"{STEPS} steps in all"
        )


def _named(stages: list[Stage], neurons: int) -> tuple[list[tuple[str, Tensor]], list[Table]]:
    """States and coefficients of stages that are no delays, by names that differ."""
    states: list[tuple[str, Tensor]] = []
    tables: list[Table] = []
    taken = set(RESERVED)

    def own(name: str) -> str:
        """The name, numbered if another has it."""
        name = re.sub(r"^(sent|slot|lead|first)_", r"own_\1_", name)  # these are ours
        numbered = (f"{name}_{number}" for number in count(2))
        found = name if name not in taken else next(n for n in numbered if n not in taken)
        taken.add(found)
        return found

    for stage in stages:
        if is_delay(stage):
            continue
        for name, tensor in _leaves(stage.state):
            if tensor.dim() <= 2:
                states.append((own(name), tensor.reshape(-1, tensor.shape[-1])[0].clone()))
        for name, tensor in _leaves(stage.coefficients):
            if tensor.is_floating_point():
                tables.append(Table(own(name), tensor.expand(neurons).clone().contiguous()))
    return states, tables


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a tree of named tuples, depth first, each with the name of its field."""
    if isinstance(tree, Tensor):
        yield re.sub(r"\W", "_", name), tree
    elif isinstance(tree, tuple):
        names = getattr(tree, "_fields", [f"{name}_{i}" for i in range(len(tree))])
        for field, part in zip(names, tree, strict=True):
            yield from _leaves(part, field)
