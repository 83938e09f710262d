"""The way back through time in a Triton kernel.

What a block of steps reads is asked for while the block behind it is worked on, and so are the
states at its start, from which those of all its steps are computed again.
"""

from phc_snn.kernels.gpu_walk import Walk, given, load
from phc_snn.kernels.source import indent, when


class WalkBack(Walk):
    """The statements of ``backward``; names as in `Walk`, and ``b`` a state at a block's start."""

    def _backward(self) -> list[str]:
        unroll = self.plan.unroll
        return [
            *self._weights(),
            *self._cotangents_of_the_end(),
            *(f"sum{i} = tl.full((BLOCK,), 0.0, tl.float64)" for i in range(self.coefficients)),
            "for past in range(0, steps - full):",
            "    t = tl.cast(steps - 1 - past, tl.int64)",
            *indent(self._fetch(1, "t", f"full // {unroll} + t - full", 0)),
            *indent(self._backward_block(1)),
            f"t = tl.cast(full - {unroll}, tl.int64)",
            *self._fetch(unroll, "t", f"t // {unroll}", 0, "full > 0"),
            f"for past in range(0, full, {unroll}):",
            f"    t = tl.cast(full - {unroll} - past, tl.int64)",
            *indent(
                self._fetch(unroll, f"t - {unroll}", f"t // {unroll} - 1", 1, f"t >= {unroll}")
            ),
            *indent(self._backward_block(unroll)),
            *indent(f"b{i}_0 = b{i}_1" for i in range(self.states)),
            *indent(
                f"{name}0_{j} = {name}1_{j}" for name in self._streams() for j in range(unroll)
            ),
            *(f"tl.store(final{i} + at, z{i}, mask=inside)" for i in range(self.states)),
            *(
                f"tl.store({self._row(f'h{k}', str(i))}, f{k}_{i}, mask=inside)"
                for k, depth in enumerate(self._depths)
                for i in range(depth)
            ),
            *(f"tl.store(total{i} + at, sum{i}, mask=inside)" for i in range(self.coefficients)),
        ]

    def _cotangents_of_the_end(self) -> list[str]:
        lines = []
        for i in range(self.states):
            lines += given(f"states{i}", f"z{i}", load(f"states{i} + at"))
        for k in self._held:
            for i in range(self._depths[k]):
                lines += given(f"end{k}", f"f{k}_{i}", load(self._row(f"end{k}", str(i))))
        return lines

    def _streams(self) -> dict[str, tuple[str, int]]:
        """What comes from memory in every step on the way back, whatever the delays."""
        found = {"x": ("x", 0)}
        for i in range(len(self.program.outputs)):
            found[f"g{i}_"] = ("g", i)
        for k in range(self.delays):
            found[f"arrived{k}_"] = ("arrived", k)
        if self.program.current is not None:
            found["current"] = ("current", 0)
        return found

    def _fetch(self, count: int, start: str, kept: str, block: int, more: str = "") -> list[str]:
        """What ``count`` steps read, from ``start`` on, and the states of before them."""
        lines = [
            f"b{i}_{block} = "
            + load(f"kept + (({kept}) * {self.states} + {i}) * lanes + at", more=more)
            for i in range(self.states)
        ]
        for name, (kind, i) in self._streams().items():
            for j in range(count):
                row = f"{start} + {j}"
                variable = f"{name}{block}_{j}"
                if kind == "arrived":
                    address = self._arrival_row(f"sent{i}", i, row)
                else:
                    address = self._row(f"g{i}" if kind == "g" else kind, row)
                value = load(address, more=more)
                known = f"{variable} = {value}"
                lines += given(f"g{i}", variable, value) if kind == "g" else [known]
        return lines

    def _backward_block(self, count: int) -> list[str]:
        states = range(self.states)
        lines = [f"s{i} = b{i}_0" for i in states]
        for k in range(self.delays):
            loads = [f"h{k}_{j} = {self._sent_row(k, j)}" for j in range(count)]
            if not self._depths[k]:
                lines += when(f"NEAR{k} == 0", loads)
        for j in range(count):
            lines += [f"p{i}_{j} = s{i}" for i in states]
            names = self._names(self.back.again, j, way_back=True)
            for stores in self.back.recomputed:
                lines += self._phase(stores, names, j, again=True)
        lines += [f"a{i} = zero" for i in range(self.coefficients)]
        for j in reversed(range(count)):
            for k in range(self.delays):
                depth = self._depths[k]
                if depth:
                    later = j + depth
                    known = f"r{k}_{later}" if later < count else f"f{k}_{later - count}"
                    lines.append(f"h{k}_{j} = {known}")
                else:
                    lines += when(f"NEAR{k} == 1", [f"h{k}_{j} = {self._sent_row(k, j)}"])
            names = self._names(self.back.loads, j, way_back=True)
            for number, phase in enumerate(self.back.phases):
                if number == self.back.cut:
                    lines.append("pulled = sum_of_rows(matrix, pulling)")
                lines += self._phase(phase.stores, names, j, derivatives=True)
            lines += ["tl.debug_barrier()"] if self._shares_lines else []
        for k, depth in enumerate(self._depths):
            for i in reversed(range(depth)):
                lines.append(f"f{k}_{i} = " + (f"r{k}_{i}" if i < count else f"f{k}_{i - count}"))
        return [*lines, *(f"sum{i} += a{i}.to(tl.float64)" for i in range(self.coefficients))]
