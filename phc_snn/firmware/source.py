"""The C99 library of a network, as text: header, source, and a program that uses it."""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from phc_snn.firmware.plan import Plan, Ring
from phc_snn.firmware.printer import CPrinter, power_of_two, real
from phc_snn.kernels.program import Place

FLAGS = ("-std=c99", "-ffp-contract=off")
"""What a compiler has to be told. The source refuses what would change its arithmetic."""


class Source:
    """Header and source of a plan.

    Attributes:
        prefix: Of every symbol.
        weight_hash: SHA-256 of the weights, 16 digits.
        header, code: The two texts.
    """

    def __init__(self, plan: Plan, prefix: str, version: str) -> None:
        self.plan, self.prefix, self.version = plan, prefix, version
        model = plan.model
        self.neurons = model.network.features
        self.read = model.decoder.in_features // model.windows
        self.weight_hash = weight_hash(model)
        self._printer = CPrinter(prefix)
        self._graph, self._place = plan.program.graph.lowered(torch.float32)
        self.header = "\n".join(self._header()) + "\n"
        self.code = ""

    def write(self, golden: Sequence[int]) -> None:
        """Put the code together.

        Args:
            golden: Hashes that the self-test must come to (`phc_snn.firmware.golden`).
        """
        self.code = "\n".join(self._code(golden)) + "\n"

    # --- header -------------------------------------------------------------------------------

    def _about(self) -> list[str]:
        model = self.plan.model
        network = model.network
        chain = ", ".join(type(p).__name__ for p in (network.neuron, *network.synapses))
        return [
            "/*",
            f" * A recurrent spiking network, written by phc_snn {self.version}.",
            " *",
            f" * {model.in_features} inputs, {self.neurons} neurons, {model.num_classes} classes; "
            f"{chain}; readout of the mean {model.readout}.",
            f" * Weights: SHA-256 {self.weight_hash}...",
            " *",
            f" * Compile with {' '.join(FLAGS)}. Every operation is one of IEEE 754 in single",
            " * precision, in the order that stands here, so that each target gives the same bits.",
            " */",
        ]

    def _header(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        model, plan = self.plan.model, self.plan
        fields = [f"    float {name}[{big}_NEURONS];" for name, _ in plan.states]
        for k, ring in enumerate(plan.rings):
            kind = "unsigned char" if ring.binary else "float"
            fields.append(f"    {kind} sent_{k}[{ring.depth}][{big}_NEURONS];")
            fields.append(f"    unsigned int slot_{k};")
        return [
            *self._about(),
            f"#ifndef {big}_H",
            f"#define {big}_H",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            f"#define {big}_INPUTS {model.in_features}",
            f"#define {big}_NEURONS {self.neurons}",
            f"#define {big}_CLASSES {model.num_classes}",
            f"#define {big}_READ {self.read * model.windows}",
            "",
            "/* Everything that is carried from one step to the next. The caller owns it. */",
            "typedef struct {",
            *fields,
            f"    float total[{big}_READ];             /* sums over time that are read out */",
            "    uint32_t steps; /* stops at the largest number */",
            f"    float voltage[{big}_NEURONS];        /* of the last step */",
            f"    unsigned char spikes[{big}_NEURONS]; /* of the last step, 0 or 1 */",
            f"}} {p}_state;",
            "",
            "/* At rest, nothing read out. Call it before the first step of a sequence. */",
            f"void {p}_reset({p}_state *state);",
            "",
            "/* One time step. */",
            f"void {p}_step({p}_state *state, const float x[{big}_INPUTS]);",
            "",
            "/* What all steps so far say: one number for each class, the largest decides. */",
            f"void {p}_logits(const {p}_state *state, float logits[{big}_CLASSES]);",
            "",
            "/* The class of the largest logit. */",
            f"int {p}_decide(const float logits[{big}_CLASSES]);",
            "",
            "/* 0 if this machine computes the bits that it should, else why not:",
            " * 1 multiplications are fused with additions, 2 another result of the network,",
            " * 3 the smallest numbers are taken for 0.",
            " * It uses the state, which is at rest afterwards. */",
            f"int {p}_selftest({p}_state *state);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
        ]

    # --- source -------------------------------------------------------------------------------

    def _code(self, golden: Sequence[int]) -> list[str]:
        p = self.prefix
        return [
            *self._about(),
            f'#include "{p}.h"',
            "",
            "#include <float.h>",
            "#include <math.h>",
            "#include <string.h>",
            "",
            *_GUARDS,
            "",
            *self._tables(),
            *(power_of_two(p) if self._uses_power_of_two() else []),
            *self._reset(),
            *self._encode(),
            *self._step(),
            *self._logits(),
            *self._selftest(golden),
        ]

    def _uses_power_of_two(self) -> bool:
        return any(node.op == "power_of_two" for node in self._graph.nodes)

    def _tables(self) -> list[str]:
        p, plan, model = self.prefix, self.plan, self.plan.model
        encoder, decoder = model.encoder, model.decoder
        lines = ["/* Encoder: from each input to every neuron. */"]
        lines += matrix(f"{p}_encoder_weight", encoder.weight)
        lines += vector(f"{p}_encoder_bias", encoder.bias)
        if encoder.norm is not None:
            lines += vector(f"{p}_encoder_scale", encoder.norm.weight)
            lines += vector(f"{p}_encoder_shift", encoder.norm.bias)
        lines += ["/* 1 for neurons that the input reaches. */"]
        lines += integers(f"{p}_input", encoder.inputs.long().tolist())
        varied = [table for table in plan.tables if table.constant is None]
        if varied:
            lines += ["/* Of each neuron and its axon. */"]
        for table in varied:
            lines += vector(f"{p}_{table.name}", table.values)
        lines += self._connectome()
        for k, ring in enumerate(plan.rings):
            if ring.lead is not None:
                lines += ["/* Steps by which the delay of a neuron is shorter than the longest. */"]
                lines += integers(f"{p}_lead_{k}", ring.lead.tolist())
        lines += ["/* Readout: neurons, scale, and from each of them to every class. */"]
        lines += integers(f"{p}_read", model.neurons_read.tolist())
        lines += vector(f"{p}_read_scale", model.norm.weight)
        lines += matrix(f"{p}_decoder_weight", decoder.weight)
        lines += vector(f"{p}_decoder_bias", decoder.bias)
        return lines

    def _connectome(self) -> list[str]:
        """Columns of the weight matrix without their zeros."""
        weight = self.plan.weight
        starts, posts, values = [0], [], []
        for column in weight.unbind(1):
            rows = column.nonzero()[:, 0]
            posts += rows.tolist()
            values.append(column[rows])
            starts.append(len(posts))
        self.connections = len(posts)
        found = torch.cat(values) if posts else torch.zeros(1)
        return [
            f"/* Connectome: {len(posts)} connections, of each neuron those that it makes. */",
            *integers(f"{self.prefix}_first", starts),
            *integers(f"{self.prefix}_post", posts or [0]),
            *vector(f"{self.prefix}_weight", found),
        ]

    def _reset(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        lines, tables = [], []
        for name, values in self.plan.states:
            if not bool(values.any()):
                continue
            if bool((values == values[0]).all()):
                lines.append(f"        state->{name}[i] = {real(float(values[0]))};")
            else:
                tables += vector(f"{p}_first_{name}", values)
                lines.append(f"        state->{name}[i] = {p}_first_{name}[i];")
        loop = [f"    for (i = 0; i < {big}_NEURONS; ++i) {{", *lines, "    }"] if lines else []
        return [
            *tables,
            f"void {p}_reset({p}_state *state)",
            "{",
            *(["    unsigned int i;"] if lines else []),
            "    memset(state, 0, sizeof *state);",
            *loop,
            "}",
            "",
        ]

    def _encode(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        model = self.plan.model
        norm = model.encoder.norm
        drive = model.network.drive
        lines = [
            f"static void {p}_encode(const float x[{big}_INPUTS], float current[{big}_NEURONS])",
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
            count = real(float(self.neurons))
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
        driven = value if drive == 1.0 else f"{real(drive)} * ({value})"
        lines += [
            f"    for (i = 0; i < {big}_NEURONS; ++i) {{",
            f"        current[i] = {p}_input[i] ? {driven} : 0.0f;",
            "    }",
            "}",
            "",
        ]
        return lines

    def _step(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        program = self.plan.program
        product = program.cut is not None
        lines = [
            f"void {p}_step({p}_state *state, const float x[{big}_INPUTS])",
            "{",
            f"    float current[{big}_NEURONS];",
        ]
        if product:
            lines += [f"    float signal[{big}_NEURONS], synaptic[{big}_NEURONS];"]
        lines += ["    unsigned int i;", f"    {p}_encode(x, current);"]
        for number, phase in enumerate(program.phases):
            if product and number == program.cut:
                lines += self._transmit()
            stores = list(phase.stores)
            lines += self._phase(stores, last=number == len(program.phases) - 1)
        lines += self._turn()
        lines += self._add_up()
        lines += [
            "    if (state->steps != 0xffffffffu) {",
            "        ++state->steps;",
            "    }",
            "}",
            "",
        ]
        return lines

    def _transmit(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
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
        plan, place = self.plan, self._place
        big = self.prefix.upper()
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
            table = self.plan.tables[i]
            constant = table.constant
            return f"{self.prefix}_{table.name}[i]" if constant is None else real(constant)
        if kind == "arrived":
            return self._arrived(i, self.plan.rings[i])
        return {"x": "current[i]", "product": "synaptic[i]"}.get(kind) or self._state(i)

    def _state(self, i: int) -> str:
        return f"state->{self.plan.states[i][0]}[i]"

    def _arrived(self, k: int, ring: Ring) -> str:
        slot = f"state->slot_{k}"
        if ring.lead is not None:
            slot = f"({slot} + {self.prefix}_lead_{k}[i]) % {ring.depth}u"
        found = f"state->sent_{k}[{slot}][i]"
        return f"(float){found}" if ring.binary else found

    def _store(self, place: Place, value: str) -> str:
        kind, i = place
        if kind == "sent":
            cast = "(unsigned char)" if self.plan.rings[i].binary else ""
            return f"state->sent_{i}[state->slot_{i}][i] = {cast}{value};"
        if kind == "signal":
            return f"signal[i] = {value};"
        return f"{self._state(i)} = {value};"

    def _turn(self) -> list[str]:
        """Each delay moves on by a slot: what was read has gone, and what was sent stands there."""
        return [
            f"    state->slot_{k} = (state->slot_{k} + 1u) % {ring.depth}u;"
            for k, ring in enumerate(self.plan.rings)
        ]

    def _add_up(self) -> list[str]:
        p, model = self.prefix, self.plan.model
        value = f"state->voltage[{p}_read[i]]"
        if model.readout == "spike":
            value = f"(float)state->spikes[{p}_read[i]]"
        if model.windows == 1:
            return [
                f"    for (i = 0; i < {self.read}u; ++i) {{",
                f"        state->total[i] += {value};",
                "    }",
            ]
        last = model.windows - 1
        return [
            "    {",
            f"        const uint32_t window = state->steps / {model.window_steps}u;",
            f"        const unsigned int first = {self.read}u * "
            f"(unsigned int)(window < {last}u ? window : {last}u);",
            f"        for (i = 0; i < {self.read}u; ++i) {{",
            f"            state->total[first + i] += {value};",
            "        }",
            "    }",
        ]

    def _logits(self) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        model = self.plan.model
        lines = [
            f"void {p}_logits(const {p}_state *state, float logits[{big}_CLASSES])",
            "{",
            f"    float mean[{big}_READ], square = 0.0f, scale;",
            "    unsigned int i, k;",
        ]
        if model.windows == 1:
            lines += [
                "    const float count = state->steps > 0u ? (float)state->steps : 1.0f;",
                f"    for (i = 0; i < {big}_READ; ++i) {{",
                "        mean[i] = state->total[i] / count;",
            ]
        else:
            width = model.window_steps
            lines += [
                f"    for (i = 0; i < {big}_READ; ++i) {{",
                f"        const uint32_t window = i / {self.read}u;",
                f"        const uint32_t began = {width}u * window;",
                "        uint32_t count = state->steps > began ? state->steps - began : 1u;",
                f"        if (window < {model.windows - 1}u && count > {width}u) {{",
                f"            count = {width}u;",
                "        }",
                "        mean[i] = state->total[i] / (float)count;",
            ]
        lines += [
            "        square += mean[i] * mean[i];",
            "    }",
            f"    square /= {real(float(model.decoder.in_features))};",
            f"    scale = 1.0f / sqrtf(square + {real(model.norm.eps or 0.0)});",
            f"    for (i = 0; i < {big}_READ; ++i) {{",
            f"        mean[i] = mean[i] * scale * {p}_read_scale[i];",
            "    }",
            f"    for (k = 0; k < {big}_CLASSES; ++k) {{",
            "        float sum = 0.0f;",
            f"        for (i = 0; i < {big}_READ; ++i) {{",
            f"            sum += mean[i] * {p}_decoder_weight[k][i];",
            "        }",
            f"        logits[k] = sum + {p}_decoder_bias[k];",
            "    }",
            "}",
            "",
            f"int {p}_decide(const float logits[{big}_CLASSES])",
            "{",
            "    int best = 0, k;",
            f"    for (k = 1; k < {big}_CLASSES; ++k) {{",
            "        if (logits[k] > logits[best]) {",
            "            best = k;",
            "        }",
            "    }",
            "    return best;",
            "}",
            "",
        ]
        return lines

    def _selftest(self, golden: Sequence[int]) -> list[str]:
        p, big = self.prefix, self.prefix.upper()
        voltages, logits = golden
        return [
            "/* FNV-1a over the bits of numbers. */",
            f"static uint32_t {p}_hash(uint32_t hash, const float *values, unsigned int count)",
            "{",
            "    unsigned int i, k;",
            "    for (i = 0; i < count; ++i) {",
            "        uint32_t word;",
            "        memcpy(&word, &values[i], sizeof word);",
            "        for (k = 0; k < 4; ++k) {",
            "            hash = (hash ^ (word >> (8u * k) & 0xffu)) * 16777619u;",
            "        }",
            "    }",
            "    return hash;",
            "}",
            "",
            f"int {p}_selftest({p}_state *state)",
            "{",
            f"    float x[{big}_INPUTS], logits[{big}_CLASSES];",
            "    uint32_t random = 1u, voltages = 2166136261u;",
            "    unsigned int t, k;",
            "    /* (1 + e)(1 - e) rounds to 1: fused with the subtraction it is -e*e, not 0. */",
            "    volatile float more = 1.0001220703125f, less = 0.9998779296875f, one = 1.0f;",
            "    volatile float tiny = FLT_MIN, half;",
            "    if (more * less - one != 0.0f) {",
            "        return 1;",
            "    }",
            "    half = tiny * 0.5f;",
            "    if (half == 0.0f || half + half != tiny) {",
            "        return 3;",
            "    }",
            f"    {p}_reset(state);",
            f"    for (t = 0; t < {SELFTEST_STEPS}u; ++t) {{",
            f"        for (k = 0; k < {big}_INPUTS; ++k) {{",
            "            random = random * 1664525u + 1013904223u;",
            "            x[k] = ((float)(random >> 16) - 32768.0f) / 16384.0f;",
            "        }",
            f"        {p}_step(state, x);",
            f"        voltages = {p}_hash(voltages, state->voltage, {big}_NEURONS);",
            "    }",
            f"    {p}_logits(state, logits);",
            f"    {p}_reset(state);",
            f"    if (voltages != {voltages}u ||",
            f"        {p}_hash(2166136261u, logits, {big}_CLASSES) != {logits}u) {{",
            "        return 2;",
            "    }",
            "    return 0;",
            "}",
        ]


SELFTEST_STEPS = 64
"""Steps of the self-test, on the numbers of a linear congruential generator."""

_GUARDS = [
    "/* The bits of a result hang on these. */",
    "#if defined(__FAST_MATH__)",
    '#error "compile without -ffast-math: it changes the order of operations"',
    "#endif",
    "/* 16: half precision is computed as float, and float as it is. */",
    "#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16",
    '#error "float has to be computed as float (on x86: -mfpmath=sse)"',
    "#endif",
    "#if FLT_RADIX != 2 || FLT_MANT_DIG != 24 || FLT_MAX_EXP != 128",
    '#error "float is not IEEE 754 single precision"',
    "#endif",
    "#if defined(__clang__) || !defined(__GNUC__)",
    "#pragma STDC FP_CONTRACT OFF",
    "#else",
    '#pragma GCC optimize("fp-contract=off")',
    "#endif",
]


def weight_hash(model: torch.nn.Module) -> str:
    """The first 16 digits of the SHA-256 of all weights, by name."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _rows(items: Iterable[str]) -> list[str]:
    """Items with commas between them, in lines of up to 90 characters."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 90:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line]


def vector(name: str, values: Tensor) -> list[str]:
    """A table of numbers."""
    numbers = [real(v) for v in values.detach().cpu().flatten().tolist()]
    return [f"static const float {name}[{len(numbers)}] = {{", *_rows(numbers), "};", ""]


def matrix(name: str, values: Tensor) -> list[str]:
    """A table of rows of numbers."""
    rows, columns = values.shape
    lines = [f"static const float {name}[{rows}][{columns}] = {{"]
    for row in values.detach().cpu().tolist():
        lines += ["  {", *_rows(map(real, row)), "  },"]
    return [*lines, "};", ""]


def integers(name: str, values: Sequence[int]) -> list[str]:
    """A table of numbers from 0 up, in as few bytes as they need."""
    kind = "uint8_t" if max(values) < 256 else "uint16_t" if max(values) < 65536 else "uint32_t"
    return [f"static const {kind} {name}[{len(values)}] = {{", *_rows(map(str, values)), "};", ""]
