"""Stages taken apart: their tensors by kind, and what is left when the tensors are gone."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from phc_snn.kernels.trace import Stage, is_delay


class Parts(NamedTuple):
    """Tensors of a chain of stages, in their order.

    Attributes:
        states: What the step of a lane changes, each broadcasts to (B, N).
        queues: Signals under way in each delay, (B, D, N).
        coefficients: Each broadcasts to (B, N).
        matrices: Weights of a connectome, (N, N).
        leads: How many steps each lane's delay is shorter than D, (N,), of the delays that have it.
    """

    states: list[Tensor]
    queues: list[Tensor]
    coefficients: list[Tensor]
    matrices: list[Tensor]
    leads: list[Tensor]

    @property
    def flat(self) -> list[Tensor]:
        return [tensor for kind in self for tensor in kind]


class _Slot:
    """The place of a tensor."""

    def __init__(self, kind: str, index: int) -> None:
        self.kind, self.index = kind, index


class Template:
    """Stages, and the weights of a connectome, without their tensors.

    A graph has to be able to let go what it keeps for its backward pass, so nothing but its saved
    tensors may hold any.
    """

    def __init__(self, stages: Sequence[Stage], weights: Any = ()) -> None:
        self.parts = Parts([], [], [], [], [])
        self.varied: list[int | None] = []
        self._stages = [self._empty(stage) for stage in stages]
        self._weights = _map(
            lambda t: self._slot("matrices" if t.dim() == 2 else "coefficients", t), weights
        )

    def take_parts(self) -> Parts:
        """The tensors; the template is left without."""
        parts = self.parts
        self.counts = [len(kind) for kind in parts]
        del self.parts
        return parts

    def sort(self, flat: Sequence[Any]) -> Any:
        """`Parts.flat`, or what is said of each of it, as `Parts` again."""
        rest = list(flat)
        found = []
        for count in self.counts:
            found.append(rest[:count])
            rest = rest[count:]
        return Parts(*found)

    def lead(self, parts: Parts) -> list[Tensor | None]:
        """Of each delay."""
        return [None if i is None else parts.leads[i] for i in self.varied]

    def fill(self, parts: Parts) -> tuple[list[Stage], Any]:
        """Stages and weights with these tensors."""

        stages = [
            stage._replace(
                state=_put(parts, stage.state), coefficients=_put(parts, stage.coefficients)
            )
            for stage in self._stages
        ]
        return stages, _put(parts, self._weights)

    def states(self, states: Sequence[Tensor], queues: Sequence[Tensor]) -> list[Any]:
        """The states of the stages, of new tensors."""
        parts = Parts(list(states), list(queues), [], [], [])

        return [_put(parts, stage.state) for stage in self._stages]

    def _empty(self, stage: Stage) -> Stage:
        if is_delay(stage):
            lead = stage.coefficients
            self.varied.append(None if lead is None else len(self.parts.leads))
            return stage._replace(
                state=_map(lambda t: self._slot("queues", t), stage.state),
                coefficients=_map(lambda t: self._slot("leads", t), lead),
            )
        return stage._replace(
            # A delay of no step has an empty queue, which stays.
            state=_map(lambda t: t if t.dim() > 2 else self._slot("states", t), stage.state),
            coefficients=_map(
                lambda t: self._slot("coefficients", t) if t.is_floating_point() else t,
                stage.coefficients,
            ),
        )

    def _slot(self, kind: str, tensor: Tensor) -> _Slot:
        found = getattr(self.parts, kind)
        found.append(tensor)
        return _Slot(kind, len(found) - 1)


def _put(parts: Parts, tree: Any) -> Any:
    """The tree with tensors in their places."""

    def tensor(value: Any) -> Any:
        return getattr(parts, value.kind)[value.index] if isinstance(value, _Slot) else value

    return _map_all(tensor, tree)


def _map(function: Callable[[Tensor], Any], tree: Any) -> Any:
    return _map_all(lambda value: function(value) if isinstance(value, Tensor) else value, tree)


def _map_all(function: Callable[[Any], Any], tree: Any) -> Any:
    if not isinstance(tree, tuple):
        return function(tree)
    parts = (_map_all(function, part) for part in tree)
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
