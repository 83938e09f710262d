"""A program as the source of compiled loops over time, for numba.

``forward`` and ``backward`` go over lanes in blocks. Inside a block, time is the outer loop and
lanes the inner one, which the compiler turns into vector instructions: no two arrays overlap, and
indices are unsigned, so that none is looked at for being negative. States live in rows that stay in
the first cache.

The way back needs the states of every step. They are kept every `EVERY` steps and computed again in
between, from the same operations, so with the same bits.
"""

from collections.abc import Iterable, Mapping

import torch

from phc_snn.kernels.graph import Graph
from phc_snn.kernels.printer import Printer
from phc_snn.kernels.program import Place, Program, Stores
from phc_snn.kernels.source import Source, indent, names_of, when
from phc_snn.numerics.elementary import EXPONENT, FORMULAS, shift_bits

EVERY = 32
"""Steps from one kept state to the next."""


class _Numba(Printer):
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def constant(self, value: float) -> str:
        return f"real({value!r})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"{yes} if {condition} else {no}"

    def power_of_two(self, shifted: str) -> str:
        _, bits, bias = EXPONENT[self._dtype]
        offset = bias - shift_bits(self._dtype)
        return f"whole((real({shifted}).view(whole) + whole({offset})) << whole({bits})).view(real)"


class NumbaSource(Source):
    """Functions for numba; `phc_snn.kernels.cpu` gives their arguments."""

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        super().__init__(program, dtype, _Numba(dtype))
        self.forward, self.backward = self._arguments()
        self.text = self._module()

    # --- names of arguments -------------------------------------------------------------------

    def _arguments(self) -> tuple[list[str], list[str]]:
        common = ["start", "stop", "width", "ahead", "steps", "x"]
        common += [f"c{i}" for i in range(self.coefficients)]
        common += self.delay_arguments()
        rows = [f"s{i}" for i in range(self.states)]
        forward = [*common, *(f"states{i}" for i in range(self.states))]
        forward += [f"y{i}" for i in range(self.results)]
        forward += ["kept_states", "trajectory", *rows]
        forward += ["driven"] if self.program.driven is not None else []
        if self.network:
            forward += ["k", "neurons", "signal", "product", "parts", "top", "shifts"]
            forward += ["active", "factors", "sums"]
        backward = [*common, "kept_states", *(f"z{i}" for i in range(self.states)), "gx"]
        backward += self.cotangent_arguments()
        backward += [f"{name}{k}" for k in range(self.delays) for name in ("queue", "h")]
        backward += [f"total{i}" for i in range(self.coefficients)]
        backward += rows
        backward += [f"p{i}" for i in range(self.states)]
        backward += [f"w{i}" for i in range(self.back.kept)]
        backward += [f"a{i}" for i in range(self.coefficients)]
        if self.network:
            backward += ["neurons", "signal", "pull", "pulled", "weight"]
            backward += ["outer", "outer_total", "active"]
        if self.program.current is not None:
            backward += ["current"]
        return forward, backward

    # --- the two functions --------------------------------------------------------------------

    def _module(self) -> str:
        lines = [
            *_head(self.dtype),
            "from phc_snn.kernels.jit import compiled",
            "from phc_snn.kernels.loops import (",
            "    add_and_clear, exact_product, outer_product, pull_back,",
            ")",
            "from phc_snn.kernels.hints import ask_for, wide_vectors",
            "",
            "",
            "@compiled",
            f"def forward({', '.join(self.forward)}):",
            *indent(self._forward()),
            "",
            "",
            "@compiled",
            f"def backward({', '.join(self.backward)}):",
            *indent(self._backward()),
            "",
        ]
        return "\n".join(lines)

    def _block(self, body: Iterable[str]) -> list[str]:
        return [
            "wide_vectors()",
            "for low in range(start, stop, width):",
            "    lanes = min(low + width, stop) - low",
            *indent(body),
        ]

    def _forward(self) -> list[str]:
        states = range(self.states)
        keep = [f"kept_states[t // count({EVERY}), count({i}), at] = s{i}[lane]" for i in states]
        path = [f"trajectory[t, count({i}), at] = s{i}[lane]" for i in states]
        rows = ["x", *(f"y{i}" for i in range(self.results))]
        rows += ["driven"] if self.program.driven is not None else []
        step = [f"ask_for({row}, t + ahead, low, lanes)" for row in rows]
        step += (f"ask_for(sent{k}, depth{k} + t + ahead, low, lanes)" for k in range(self.delays))
        step += when(f"len(kept_states) > 0 and t % count({EVERY}) == 0", _loop(keep))
        for number, phase in enumerate(self.program.phases):
            if number == self.program.cut:
                step += [
                    "for first in range(count(0), lanes, neurons):",
                    "    exact_product(",
                    "        signal, k, first, neurons, parts, top, shifts,",
                    "        active, factors, sums, product, first, neurons,",
                    "    )",
                ]
            step += self._phase(phase.stores, self.program.loads())
        step += when("len(trajectory) > 0", _loop(path))
        return self._block(
            [
                *_loop(f"s{i}[lane] = states{i}[at]" for i in states),
                "for t in range(steps):",
                *indent(step),
                *_loop(f"states{i}[at] = s{i}[lane]" for i in states),
            ]
        )

    def _backward(self) -> list[str]:
        states, coefficients = range(self.states), range(self.coefficients)
        cotangents = [f"g{i}" for i in range(len(self.program.outputs))]
        recompute = [
            *(f"ask_for({g}, t * every{i}, low, lanes)" for i, g in enumerate(cotangents)),
            "ask_for(gx, t, low, lanes)",
        ]
        recompute += _loop(f"p{i}[k, lane] = s{i}[lane]" for i in states)
        for stores in self.back.recomputed:
            recompute += self._phase(stores, self.back.again)
        rows, nothing = [], []
        for i, port in enumerate(self.program.ports):
            # A remainder is taken once for a row: in the loop over lanes it would be in the way.
            rows += [
                f"arrived_row{i} = t % (depth{i} + count(1))",
                f"sent_row{i} = (depth{i} + t) % (depth{i} + count(1))",
            ]
            if port.varied:  # several steps add to one row
                nothing.append(f"h{i}[arrived_row{i}, lane] = real(0.0)")
        # The stretch before this one is read next.
        streams = ["x", *(f"sent{k}" for k in range(self.delays))]
        streams += ["current"] if self.program.current is not None else []
        early = [f"ask_for({row}, begin - count({EVERY}) + back, low, lanes)" for row in streams]
        way_back = [*when("begin > 0", early), *rows, *_loop(nothing)]
        for number, phase in enumerate(self.back.phases):
            way_back += self._pull_back() if number == self.back.cut else []
            way_back += self._phase(phase.stores, self.back.loads)
        chunk = [
            "chunk = chunks - count(1) - past",
            f"begin = chunk * count({EVERY})",
            f"length = min(count({EVERY}), steps - begin)",
            *_loop(f"s{i}[lane] = kept_states[chunk, count({i}), at]" for i in states),
            *_loop(f"a{i}[lane] = real(0.0)" for i in coefficients),
            "for k in range(length):",
            "    t = begin + k",
            *indent(recompute or ["pass"]),
            "for back in range(length):",
            "    k = length - count(1) - back",
            "    t = begin + k",
            *indent(way_back),
            *_loop(f"total{i}[at] += a{i}[lane]" for i in coefficients),
        ]
        if self.network:
            chunk += [
                "for first in range(count(0), lanes, neurons):",
                "    add_and_clear(",
                "        outer[first // neurons], outer_total[(low + first) // neurons], neurons",
                "    )",
            ]
        body = [
            f"chunks = (steps + count({EVERY - 1})) // count({EVERY})",
            "for past in range(chunks):",
            *indent(chunk),
        ]
        return self._block(self._around(body))

    @staticmethod
    def _pull_back() -> list[str]:
        """The cotangents of the connectome's product, to its signal and its weights."""
        return [
            "pull_back(",
            "    pull[0], count(0), lanes // neurons, neurons, weight,",
            "    pulled, count(0), neurons,",
            ")",
            "for first in range(count(0), lanes, neurons):",
            "    outer_product(",
            "        pull, count(0), first, neurons, signal, k, first, neurons,",
            "        active, outer[first // neurons],",
            "    )",
        ]

    def _around(self, body: list[str]) -> list[str]:
        """``body``, and the ring of cotangents under way in each delay: filled, and read out."""
        for i in range(self.delays):
            slot = "h%d[(%s + row) %% (depth%d + count(1)), lane]"
            last, first = (slot % (i, t, i) for t in ("steps", "count(0)"))
            body = [
                f"for row in range(depth{i}):",
                *indent(_loop([f"{last} = queue{i}[row, at]"])),
                *body,
                f"for row in range(depth{i}):",
                *indent(_loop([f"queue{i}[row, at] = {first}"])),
            ]
        return body

    # --- loops over lanes ---------------------------------------------------------------------

    def _phase(self, stores: Stores, loads: Mapping[int, Place]) -> list[str]:
        """The loop over lanes that computes and stores some nodes."""
        place = self._place
        lines, names = self._printer.statements(
            self._graph,
            [place[node] for _, node in stores],
            {place[node]: self._access(target) for node, target in loads.items()},
        )
        for target, node in stores:
            varied = target[0] == "h_arrived" and self.program.ports[target[1]].varied
            sign = "+=" if target[0] == "a" or varied else "="
            lines.append(f"{self._access(target)} {sign} {names[place[node]]}")
        return _loop(lines)

    def _access(self, place: Place) -> str:
        """The value of the lane in one of the arrays."""
        kind, i = place
        row, ring = "t", f"arrived_row{i}"
        if kind in ("arrived", "h_arrived") and self.program.ports[i].varied:
            row = f"t + lead{i}[at]"
            ring = f"(arrived_row{i} + lead{i}[at]) % (depth{i} + count(1))"
        return {
            "c": f"c{i}[at]",
            "z": f"z{i}[at]",
            "s": f"s{i}[lane]",
            "a": f"a{i}[lane]",
            "signal": "signal[k, lane]",
            "product": "product[lane]",
            "pull": "pull[count(0), lane]",
            "pulled": "pulled[lane]",
            "p": f"p{i}[k, lane]",
            "w": f"w{i}[k, lane]",
            "x": "x[t, at]",
            "driven": "driven[t, at]",
            "y": f"y{i}[t, at]",
            "current": "current[t, at]",
            "sent": f"sent{i}[depth{i} + t, at]",
            "arrived": f"sent{i}[{row}, at]",
            "g": f"g{i}[t * every{i}, at]",
            "gx": "gx[t, at]",
            "h": f"h{i}[sent_row{i}, lane]",
            "h_arrived": f"h{i}[{ring}, lane]",
        }[kind]


def _loop(lines: Iterable[str]) -> list[str]:
    body = indent(lines)
    return ["for lane in range(lanes):", "    at = low + lane", *body] if body else []


def elementwise_source(name: str, dtype: torch.dtype) -> str:
    """A module with ``apply(x, out)``: a function of `phc_snn.numerics`, value by value."""
    graph = Graph()
    x = graph.add("input", payload=("x", 0))
    result = FORMULAS[name](x, dtype)
    lines, names = _Numba(dtype).statements(graph, [result.index], {x.index: "x[i]"})
    return "\n".join(
        [
            *_head(dtype),
            "from phc_snn.kernels.jit import compiled",
            "",
            "",
            "@compiled",
            "def apply(x, out):",
            "    for i in range(count(len(x))):",
            *indent(indent([*lines, f"out[i] = {names[result.index]}"])),
            "",
        ]
    )


def _head(dtype: torch.dtype) -> list[str]:
    name, integer = names_of(dtype)
    return [
        '"""Generated by phc_snn.kernels.cpu_source."""',
        "",
        f"from numpy import {integer} as whole, {name} as real, uint64 as count",
        "",
    ]
