"""The C99 library of a network, as text: header and source."""

import hashlib

import torch
from torch import Tensor

from phc_snn.firmware.golden import golden
from phc_snn.firmware.header import about, header
from phc_snn.firmware.library import BUILD, Library
from phc_snn.firmware.printer import real
from phc_snn.firmware.readout import logits, selftest
from phc_snn.firmware.reference import BitReference
from phc_snn.firmware.step import Step, encode
from phc_snn.firmware.tables import Tables


class Source:
    """Header and source of a model.

    Args:
        reference: The model in the order of its C code.
        prefix: Of every symbol.
        version: Of phc_snn.

    Attributes:
        weight_hash: SHA-256 of the weights.
        build: Of header and source alike: a hash of both texts.
        selftest_spikes: Spikes that the connectome passes on in the self-test.
        header, code: The two texts.
    """

    def __init__(self, reference: BitReference, prefix: str, version: str) -> None:
        self.prefix = prefix
        self.weight_hash = weight_hash(reference.model)
        library = Library(reference.plan, prefix, version, self.weight_hash)
        step, table = Step(library), Tables(prefix)
        head = "\n".join(header(library)) + "\n"
        numbers = [*constants(library, table), *step.helpers, *reset(library, table)]
        wanted = golden(reference, table.words)
        self.selftest_spikes = wanted.spikes
        lines = [
            *about(library),
            f'#include "{prefix}.h"',
            "",
            f"#if !defined({library.big}_BUILD) || {library.big}_BUILD != {BUILD}",
            f'#error "{prefix}.h and {prefix}.c are of two exports"',
            "#endif",
            "",
            "#include <float.h>",
            "#include <math.h>",
            "#include <string.h>",
            "",
            *_GUARDS,
            "",
            *numbers,
            *finite(library),
            *encode(library),
            *step.lines(),
            *logits(library),
            *selftest(library, table.hashing, wanted.hash),
        ]
        code = "\n".join(lines) + "\n"
        self.build = f"0x{hashlib.sha256((head + code).encode()).hexdigest()[:8]}u"
        self.header, self.code = (text.replace(BUILD, self.build) for text in (head, code))


def constants(library: Library, table: Tables) -> list[str]:
    plan, model = library.plan, library.model
    encoder, decoder = model.encoder, model.decoder
    lines = ["/* Encoder: from each input to every neuron. */"]
    lines += table.matrix("encoder_weight", encoder.weight)
    lines += table.vector("encoder_bias", encoder.bias)
    if encoder.norm is not None:
        lines += table.vector("encoder_scale", encoder.norm.weight)
        lines += table.vector("encoder_shift", encoder.norm.bias)
    lines += ["/* 1 for neurons that the input reaches. */"]
    lines += table.integers("input", encoder.inputs.long().tolist())
    varied = [each for each in plan.tables if each.constant is None]
    if varied:
        lines += ["/* Of each neuron and its axon. */"]
    for each in varied:
        lines += table.vector(each.name, each.values)
    lines += connectome(table, plan.weight)
    for k, ring in enumerate(plan.rings):
        if ring.lead is not None:
            lines += ["/* Steps by which the delay of a neuron is shorter than the longest. */"]
            lines += table.integers(f"lead_{k}", ring.lead.tolist())
    lines += ["/* Readout: neurons, scale, and from each of them to every class. */"]
    lines += table.integers("read", model.neurons_read.tolist())
    lines += table.vector("read_scale", model.norm.weight)
    lines += table.matrix("decoder_weight", decoder.weight)
    lines += table.vector("decoder_bias", decoder.bias)
    return lines


def connectome(table: Tables, weight: Tensor) -> list[str]:
    """Columns of the weight matrix without their zeros."""
    starts, posts, values = [0], [], []
    for column in weight.unbind(1):
        rows = column.nonzero()[:, 0]
        posts += rows.tolist()
        values.append(column[rows])
        starts.append(len(posts))
    found = torch.cat(values) if posts else torch.zeros(1)
    return [
        f"/* Connectome: {len(posts)} connections, of each neuron those that it makes. */",
        *table.integers("first", starts),
        *table.integers("post", posts or [0]),
        *table.vector("weight", found),
    ]


def reset(library: Library, table: Tables) -> list[str]:
    p, big = library.prefix, library.big
    lines, tables = [], []
    for name, values in library.plan.states:
        if not bool(values.any()):
            continue
        if bool((values == values[0]).all()):
            lines.append(f"        state->{name}[i] = {real(float(values[0]))};")
        else:
            tables += table.vector(f"first_{name}", values)
            lines.append(f"        state->{name}[i] = {p}_first_{name}[i];")
    loop = [f"    for (i = 0; i < {big}_NEURONS; ++i) {{", *lines, "    }"] if lines else []
    return [
        *tables,
        f"{big}_CODE void {p}_reset({p}_state *state)",
        "{",
        *(["    unsigned int i;"] if lines else []),
        "    memset(state, 0, sizeof *state);",
        *loop,
        "}",
        "",
    ]


def finite(library: Library) -> list[str]:
    p, big = library.prefix, library.big
    return [
        "/* By their bits: no option of a compiler can take that away. */",
        f"static {big}_CODE int {p}_finite(const float *values, unsigned int count)",
        "{",
        "    unsigned int i;",
        "    for (i = 0; i < count; ++i) {",
        "        uint32_t word;",
        "        memcpy(&word, &values[i], sizeof word);",
        "        if ((word & 0x7f800000u) == 0x7f800000u) {",
        "            return 0;",
        "        }",
        "    }",
        "    return 1;",
        "}",
        "",
    ]


_GUARDS = [
    "/* The bits of a result hang on these. */",
    "#if defined(__FAST_MATH__) || defined(__RECIPROCAL_MATH__) || \\",
    "    defined(__ASSOCIATIVE_MATH__) || defined(_M_FP_FAST)",
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
    "#elif !defined(__CUDACC__) /* which takes -fmad=false and no pragma */",
    '#pragma GCC optimize("fp-contract=off", "no-associative-math")',
    "#endif",
]


def weight_hash(model: torch.nn.Module) -> str:
    """The SHA-256 of all weights, by name."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
