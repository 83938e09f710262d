"""From the equations of models to the graph of one time step of one lane."""

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from phc_snn.checks import is_transformed
from phc_snn.emit import Emit
from phc_snn.kernels.graph import Graph, Symbol, UntraceableError
from phc_snn.scan.reset import Reset
from phc_snn.scan.single import SingleStep
from phc_snn.state import map_state, tensors


class Stage(NamedTuple):
    """One model of a chain: its equations, what they read, and its state (`phc_snn.process`).

    Equations that are no method read nothing but their arguments: what they were once they are
    always.
    """

    dynamics: Callable[..., Any]
    coefficients: Any
    state: Any


class Queue(NamedTuple):
    """Stands for the signals under way in delay number ``port``."""

    port: int


@dataclass
class Port:
    """One delay, seen from a step: what goes in, and what comes out.

    Attributes:
        strict: Every lane has a delay of at least one step.
        varied: Lanes have different delays.
    """

    arrived: int
    strict: bool
    varied: bool
    sent: int = -1


@dataclass
class Lanes(SingleStep):
    """A `phc_snn.axes.TimeAxis` of one step, on symbols."""

    graph: Graph
    ports: list[Port] = field(default_factory=list)

    def shift(self, x: Any, queue: Any, lead: Any) -> tuple[Any, Any]:
        if not isinstance(queue, Queue):
            raise UntraceableError("a delay without a queue")
        port = self.ports[queue.port]
        port.sent = self.graph.index(x)
        return Symbol(self.graph, port.arrived), queue


class StageTrace(NamedTuple):
    """The nodes of one stage: outputs, the states' tensors before and after, coefficients.

    A delay has a queue for a state, and its number stands in ``port``.
    """

    outputs: tuple[int, ...]
    states: tuple[int, ...]
    after: tuple[int, ...]
    coefficients: tuple[int, ...]
    port: int | None


class Tracer:
    """Traces one stage after the other into one graph."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.lanes = Lanes(self.graph)
        self._count: dict[str, int] = {}

    def input(self, kind: str) -> Symbol:
        """A new input; the nodes of each kind are numbered."""
        number = self._count.get(kind, 0)
        self._count[kind] = number + 1
        return self.graph.add("input", payload=(kind, number))

    def port(self, stage: Stage) -> int:
        """Open the delay of a stage whose state is a queue; what arrives is known from here on."""
        arrived = self.input("arrived").index
        self.lanes.ports.append(Port(arrived, _is_strict(stage), stage.coefficients is not None))
        return len(self.lanes.ports) - 1

    def stage(self, stage: Stage, x: Symbol | int, port: int | None = None) -> StageTrace:
        """Trace one stage under the input ``x``."""
        states: list[int] = []
        coefficients: list[int] = []

        def symbol(kind: str, found: list[int]) -> Callable[[Tensor], Any]:
            def made(tensor: Tensor) -> Any:
                if not tensor.is_floating_point() or tensor.dim() > 2:
                    raise UntraceableError(f"a {tensor.dtype} of {tensor.dim()} dimensions")
                found.append(self.input(kind).index)
                return Symbol(self.graph, found[-1])

            return made

        if port is not None:
            state: Any = type(stage.state)(Queue(port))
            given = None
        else:
            state = map_state(symbol("state", states), stage.state)
            given = map_state(symbol("coefficient", coefficients), stage.coefficients)
        x = Symbol(self.graph, x) if isinstance(x, int) else x
        try:
            outputs, after = stage.dynamics(x, state, given, self.lanes)
        except (TypeError, ValueError, AttributeError) as error:
            raise UntraceableError(f"what is no scalar operation ({error})") from error
        return StageTrace(
            tuple(self.graph.index(o) for o in outputs),
            tuple(states),
            () if port is not None else tuple(self.graph.index(s) for s in _leaves(after)),
            tuple(coefficients),
            port,
        )


def is_delay(stage: Stage) -> bool:
    """Whether the state of a stage is a queue of at least one step."""
    found = tensors(stage.state)
    return len(found) == 1 and found[0].dim() == 3 and found[0].shape[1] > 0


def _is_strict(delay: Stage) -> bool:
    """Whether every lane has a delay of at least one step."""
    (queue,) = tensors(delay.state)
    lead = delay.coefficients
    # Without a lead all lanes have one delay; the queue has room for the longest.
    return lead is None or queue.shape[1] > extremes(lead)[1]


_extremes = WeakTensorKeyDictionary()


def extremes(lead: Tensor) -> tuple[int, int]:
    """The least and the largest of the numbers of a lead, read from its device once."""
    if is_transformed(lead):
        raise UntraceableError("delays that a transform of torch.func maps over")
    if lead not in _extremes:
        _extremes[lead] = int(lead.min()), int(lead.max())
    found: tuple[int, int] = _extremes[lead]
    return found


def passes_through(stage: Stage) -> bool:
    """Whether a stage is a delay of no step."""
    found = tensors(stage.state)
    return len(found) == 1 and found[0].dim() == 3 and found[0].shape[1] == 0


def _leaves(state: Any) -> list[Any]:
    if isinstance(state, Symbol):
        return [state]
    return [leaf for part in state for leaf in _leaves(part)]


def signature(stage: Stage) -> Hashable:
    """What the graph of a stage depends on; raises `UntraceableError` where that cannot be told."""
    if inspect.ismethod(stage.dynamics):  # a static method is a plain function
        raise UntraceableError("equations that are no static method")
    if not all(tensor.is_floating_point() for tensor in tensors(stage.state)):
        raise UntraceableError("a state of whole numbers")
    strict = is_delay(stage) and _is_strict(stage)
    return (stage.dynamics, shape(stage.coefficients), shape(stage.state), strict)


def shape(value: Any) -> Hashable:
    """What stands in a tree of coefficients or states beside the values of its tensors."""
    if isinstance(value, Tensor):
        if value.dim() == 3:
            return ("queue", value.shape[1] > 0)
        return ("lead", *extremes(value)) if value.dtype == torch.long else ()
    if isinstance(value, Emit):
        return (value.inhibition, value.slope, value.graded)
    if isinstance(value, tuple):
        return (type(value), *map(shape, value))
    if isinstance(value, (int, float, str, bool, type(None), Reset)):
        return value
    raise UntraceableError(f"a {type(value).__name__} among the coefficients")
