"""One time step as C99: the encoder, then the phases of the network's program."""

import torch

from phc_snn.firmware.library import Library
from phc_snn.firmware.plan import Ring
from phc_snn.firmware.printer import CPrinter, power_of_two, real
from phc_snn.firmware.readout import add_up
from phc_snn.kernels.program import Place


def encode(library: Library) -> list[str]:
    p, big = library.prefix, library.big
    model = library.model
    norm = model.encoder.norm
    drive = model.network.drive
    lines = [
        "/* Whether all is finite. */",
        f"static {big}_CODE int {p}_encode(const float x[{big}_INPUTS],",
        f"    float current[{big}_NEURONS])",
        "{",
        "    unsigned int i, k;",
    ]
    if norm is not None:
        lines += ["    float mean = 0.0f, variance = 0.0f, scale;"]
    lines += [
        f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
        "        float sum = 0.0f;",
        f"        for (k = 0; k < {big}_INPUTS; ++k) {{",
        f"            sum += x[k] * {p}_encoder_weight[i][k];",
        "        }",
        f"        current[i] = sum + {p}_encoder_bias[i];",
        "    }",
    ]
    if norm is not None:
        count = real(float(library.neurons))
        lines += [
            f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
            "        mean += current[i];",
            "    }",
            f"    mean /= {count};",
            f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
            "        current[i] -= mean;",
            "        variance += current[i] * current[i];",
            "    }",
            f"    variance /= {count};",
            f"    scale = 1.0f / sqrtf(variance + {real(norm.eps)});",
        ]
    value = "current[i]"
    if norm is not None:
        value = f"current[i] * scale * {p}_encoder_scale[i] + {p}_encoder_shift[i]"
    check = f"{p}_finite(current, {big}_NEURONS)"
    if norm is not None:
        check = f"{p}_finite(&variance, 1u) && {check}"  # a scale of 0 would hide what overflows
    driven = value if drive == 1.0 else f"{real(drive)} * ({value})"
    lines += [
        f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
        f"        current[i] = {p}_input[i] ? {driven} : 0.0f;",
        "    }",
        f"    return {check};",
        "}",
        "",
    ]
    return lines


class Step:
    """The function of a step, and what it calls.

    Attributes:
        helpers: Functions that its equations need.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._printer = CPrinter(library.prefix)
        self._graph, self._place = library.plan.program.graph.lowered(torch.float32)
        exponents = any(node.op == "power_of_two" for node in self._graph.nodes)
        self.helpers = power_of_two(library.prefix) if exponents else []

    def lines(self) -> list[str]:
        p, big = self._library.prefix, self._library.big
        program = self._library.plan.program
        product = program.cut is not None
        lines = [
            f"{big}_CODE int {p}_step({p}_state *state, const float x[{big}_INPUTS])",
            "{",
            f"    float current[{big}_NEURONS];",
        ]
        if product:
            lines += [f"    float signal[{big}_NEURONS], synaptic[{big}_NEURONS];"]
        lines += [
            "    unsigned int i;",
            f"    if (!{p}_encode(x, current)) {{",
            "        return 1;",
            "    }",
        ]
        for number, phase in enumerate(program.phases):
            if product and number == program.cut:
                lines += self._transmit()
            stores = list(phase.stores)
            lines += self._phase(stores, last=number == len(program.phases) - 1)
        lines += self._turn()
        lines += [
            "    if (state->steps != 0xffffffffu) {",
            *(f"    {line}" for line in add_up(self._library)),
            "        ++state->steps;",
            "    }",
            "    return 0;",
            "}",
            "",
        ]
        return lines

    def _transmit(self) -> list[str]:
        p, big = self._library.prefix, self._library.big
        return [
            "    /* What a silent neuron would add is nothing. */",
            "    memset(synaptic, 0, sizeof synaptic);",
            f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
            "        const float sent = signal[i];",
            "        unsigned int k;",
            "        if (sent == 0.0f) {",
            "            continue;",
            "        }",
            f"        for (k = {p}_first[i]; k < {p}_first[i + 1]; ++k) {{",
            f"            synaptic[{p}_post[k]] += sent * {p}_weight[k];",
            "        }",
            "    }",
        ]

    def _phase(self, stores: list[tuple[Place, int]], last: bool) -> list[str]:
        """One loop over the neurons."""
        plan, place = self._library.plan, self._place
        big = self._library.big
        wanted = [(target, node) for target, node in stores if target[0] != "y"]
        roots = [place[node] for _, node in wanted]
        if last:
            roots += [place[plan.spikes], place[plan.voltage]]
        lines, names = self._printer.statements(
            self._graph,
            roots,
            {place[node]: self._load(target) for node, target in plan.program.loads().items()},
        )
        for target, node in wanted:
            lines.append(self._store(target, names[place[node]]))
        if last:
            lines.append(
                f"state->spikes[i] = (unsigned char)({names[place[plan.spikes]]} != 0.0f);"
            )
            lines.append(f"state->voltage[i] = {names[place[plan.voltage]]};")
        return [
            f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
            *(f"        {line}" for line in lines),
            "    }",
        ]

    def _load(self, place: Place) -> str:
        kind, i = place
        if kind == "c":
            table = self._library.plan.tables[i]
            constant = table.constant
            return f"{self._library.prefix}_{table.name}[i]" if constant is None else real(constant)
        if kind == "arrived":
            return self._arrived(i, self._library.plan.rings[i])
        return {"x": "current[i]", "product": "synaptic[i]"}.get(kind) or self._state(i)

    def _state(self, i: int) -> str:
        return f"state->{self._library.plan.states[i][0]}[i]"

    def _arrived(self, k: int, ring: Ring) -> str:
        slot = f"state->slot_{k}"
        if ring.lead is not None:
            slot = f"({slot} + {self._library.prefix}_lead_{k}[i]) % {ring.depth}u"
        found = f"state->sent_{k}[{slot}][i]"
        return f"(float){found}" if ring.binary else found

    def _store(self, place: Place, value: str) -> str:
        kind, i = place
        if kind == "sent":
            cast = "(unsigned char)" if self._library.plan.rings[i].binary else ""
            return f"state->sent_{i}[state->slot_{i}][i] = {cast}{value};"
        if kind == "signal":
            return f"signal[i] = {value};"
        return f"{self._state(i)} = {value};"

    def _turn(self) -> list[str]:
        """Each delay moves on by a slot: what was read has gone, and what was sent stands there."""
        return [
            f"    state->slot_{k} = (state->slot_{k} + 1u) % {ring.depth}u;"
            for k, ring in enumerate(self._library.plan.rings)
        ]
