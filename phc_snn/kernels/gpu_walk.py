"""One step of a lane in a Triton kernel: where its values stand, and where they go."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from phc_snn.kernels.printer import Printer
from phc_snn.kernels.program import Place, Program, Stores
from phc_snn.kernels.source import Source
from phc_snn.numerics.elementary import EXPONENT, shift_bits


class Plan(NamedTuple):
    """How a kernel walks through time.

    Attributes:
        unroll: Steps of a block, forward and backward alike.
        ahead: For how many blocks ahead the forward kernel asks for its input.
    """

    unroll: int = 8
    ahead: int = 2


class _Triton(Printer):
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def constant(self, value: float) -> str:
        return f"tl.full((), {value!r}, real)"  # a bare number would become a float32

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"tl.where({condition}, {yes}, {no})"

    def divide(self, x: str, y: str) -> str:
        # The slash is an approximation in float32.
        return f"tl.div_rn({x}, {y})" if self._dtype == torch.float32 else f"{x} / {y}"

    def negate(self, x: str) -> str:
        return f"{x} * {self.constant(-1.0)}"  # the minus is a difference from 0 and loses -0

    def absolute(self, x: str) -> str:
        return f"tl.abs({x})"

    def power_of_two(self, shifted: str) -> str:
        _, bits, bias = EXPONENT[self._dtype]
        offset = bias - shift_bits(self._dtype)
        return (
            f"((({shifted}).to(whole, bitcast=True) + ({offset})) << {bits}).to(real, bitcast=True)"
        )


class Walk(Source):
    """A thread holds a lane and walks through time, some steps at once.

    What is under way in a short delay stays in registers: ``depths`` has its steps, where they are
    the same for all lanes and fewer than those of a block, else 0. In the text ``e`` is what is
    under way, ``o`` what a step of the block sends; on the way back ``f`` and ``r`` are their
    cotangents.
    """

    def __init__(
        self, program: Program, dtype: torch.dtype, plan: Plan, depths: Sequence[int]
    ) -> None:
        super().__init__(program, dtype, _Triton(dtype))
        self.plan = plan
        self._depths = depths

    def _row(self, array: str, row: str) -> str:
        return f"{array} + ({row}) * lanes + at" if row != "0" else f"{array} + at"

    def _arrival_row(self, array: str, k: int, row: str) -> str:
        later = f" + later{k}" if self.program.ports[k].varied else ""
        return f"{array} + ({row}{later}) * lanes + at"

    def _arrival(self, array: str, k: int, j: int) -> str:
        return load(self._arrival_row(array, k, f"t + {j}"))

    def _sent_row(self, k: int, j: int) -> str:
        return load(f"h{k} + (depth{k} + t + {j}) * lanes + at")

    def _names(
        self, loads: Mapping[int, Place], j: int, *, way_back: bool = False
    ) -> dict[int, str]:
        """The variable that each loaded node stands in, at step ``j`` of a block."""
        middle = "_0" if way_back else ""
        names = {}
        for node, (kind, i) in loads.items():
            names[self._place[node]] = {
                "c": f"coefficient{i}",
                "s": f"s{i}",
                "z": f"z{i}",
                "p": f"p{i}_{j}",
                "w": f"w{i}_{j}",
                "x": f"x0_{j}",
                "current": f"current0_{j}",
                "g": f"g{i}_0_{j}",
                "h": f"h{i}_{j}",
                "arrived": f"arrived{i}{middle}_{j}",
                "product": "product",
                "pulled": "pulled",
            }[kind]
        return names

    def _phase(
        self,
        stores: Stores,
        loads: Mapping[int, str],
        j: int,
        *,
        again: bool = False,
    ) -> list[str]:
        """Statements that compute some nodes, and where these go."""
        lines, names = self._printer.statements(
            self._graph, [self._place[node] for _, node in stores], loads
        )
        for target, node in stores:
            lines += self._store(target, names[self._place[node]], j, again)
        return lines

    def _store(self, place: Place, value: str, j: int, again: bool) -> list[str]:
        kind, i = place
        if value.startswith("tl.full"):
            value = f"{value} + tl.full((BLOCK,), 0.0, real)"
        row = f"(t + {j}) * lanes + at"

        def put(array: str) -> str:
            return f"tl.store({array}{row}, {value}, mask=inside)"

        if kind == "a":
            return [f"a{i} += {value}"]
        if kind == "signal":
            kept = [f"tl.store(signal + {row}, {value}, mask=inside)"]
            return kept if again else [f"signal = {value}"]
        if kind == "pull":
            return [f"pulling = {value}", put("pull + ")]
        if kind == "h_arrived" and self._depths[i]:
            return [f"r{i}_{j} = {value}"]
        if kind == "h_arrived":
            if not self.program.ports[i].varied:
                return [put(f"h{i} + ")]
            address = self._arrival_row(f"h{i}", i, f"t + {j}")
            return [f"tl.store({address}, {load(address)} + {value}, mask=inside)"]
        if kind in ("y", "gx"):
            return [put(f"y{i} + " if kind == "y" else "gx + ")]
        if kind == "sent" and self._depths[i]:
            ahead = j + self._depths[i]
            return [
                f"o{i}_{j} = {value}",
                f"arrived{i}_{ahead} = o{i}_{j}",
                f"tl.store(sent{i} + (depth{i} + t + {j}) * lanes + at, {value}, mask=inside)",
            ]
        if kind == "sent":
            return [f"tl.store(sent{i} + (depth{i} + t + {j}) * lanes + at, {value}, mask=inside)"]
        return [f"w{i}_{j} = {value}" if kind == "w" else f"{kind}{i} = {value}"]


def load(address: str, other: str = "0.0", *, more: str = "") -> str:
    mask = f"lane < tl.where({more}, bound, 0)" if more else "inside"
    return f"tl.load({address}, mask={mask}, other={other})"
