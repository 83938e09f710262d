"""What comes after a step, as C99: the sums that are read out, logits, and the self-test."""

from collections.abc import Sequence

from phc_snn.firmware.library import Library
from phc_snn.firmware.plan import Plan
from phc_snn.firmware.printer import real


def selftest_steps(plan: Plan) -> int:
    """Steps of the self-test: of the first 64, what was sent arrives."""
    return 64 + max((ring.depth for ring in plan.rings), default=0)


def add_up(library: Library) -> list[str]:
    p, model = library.prefix, library.model
    value = f"state->voltage[{p}_read[i]]"
    if model.readout == "spike":
        value = f"(float)state->spikes[{p}_read[i]]"
    if model.windows == 1:
        return [
            f"    for (i = 0; i < {library.read}u; ++i) {{",
            f"        state->total[i] += {value};",
            "    }",
        ]
    last = model.windows - 1
    return [
        "    {",
        f"        const uint32_t window = state->steps / {model.window_steps}u;",
        f"        const unsigned int first = {library.read}u * "
        f"(unsigned int)(window < {last}u ? window : {last}u);",
        f"        for (i = 0; i < {library.read}u; ++i) {{",
        f"            state->total[first + i] += {value};",
        "        }",
        "    }",
    ]


def logits(library: Library) -> list[str]:
    p, big = library.prefix, library.big
    model = library.model
    lines = [
        f"{big}_CODE void {p}_logits(const {p}_state *state, float logits[{big}_CLASSES])",
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
            f"        const uint32_t window = i / {library.read}u;",
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
        f"{big}_CODE void {p}_clear_readout({p}_state *state)",
        "{",
        "    memset(state->total, 0, sizeof state->total);",
        "    state->steps = 0u;",
        "}",
        "",
        f"{big}_CODE int {p}_decide(const float logits[{big}_CLASSES])",
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


def selftest(library: Library, hashing: Sequence[str], golden: int) -> list[str]:
    p, big = library.prefix, library.big
    return [
        "/* FNV-1a, the lowest byte first. */",
        f"static {big}_CODE uint32_t {p}_hash_word(uint32_t hash, uint32_t word)",
        "{",
        "    unsigned int k;",
        "    for (k = 0; k < 4; ++k) {",
        "        hash = (hash ^ (word >> (8u * k) & 0xffu)) * 16777619u;",
        "    }",
        "    return hash;",
        "}",
        "",
        "/* The bits of numbers. */",
        f"static {big}_CODE uint32_t {p}_hash(uint32_t hash, const float *values,",
        "    unsigned int count)",
        "{",
        "    unsigned int i;",
        "    for (i = 0; i < count; ++i) {",
        "        uint32_t word;",
        "        memcpy(&word, &values[i], sizeof word);",
        f"        hash = {p}_hash_word(hash, word);",
        "    }",
        "    return hash;",
        "}",
        "",
        f"{big}_CODE int {p}_selftest({p}_state *state)",
        "{",
        f"    float x[{big}_INPUTS], logits[{big}_CLASSES];",
        "    uint32_t random = 1u, hash = 2166136261u;",
        "    unsigned int t, k;",
        "    /* (1 + e)(1 - e) rounds to 1: fused with the subtraction it is -e*e, not 0. */",
        "    volatile float more = 1.0001220703125f, less = 0.9998779296875f, one = 1.0f;",
        "    volatile float tiny = FLT_MIN, half;",
        f"    {p}_reset(state);",
        "    if (more * less - one != 0.0f) {",
        "        return 1;",
        "    }",
        "    half = tiny * 0.5f;",
        "    if (half == 0.0f || half + half != tiny) {",
        "        return 3;",
        "    }",
        "    /* The numbers that all hangs on, then what is computed of them. */",
        *(f"    {line}" for line in hashing),
        f"    for (t = 0; t < {selftest_steps(library.plan)}u; ++t) {{",
        f"        for (k = 0; k < {big}_INPUTS; ++k) {{",
        "            random = random * 1664525u + 1013904223u;",
        "            x[k] = ((float)(random >> 16) - 32768.0f) / 16384.0f;",
        "        }",
        f"        {p}_step(state, x);",
        f"        {p}_logits(state, logits);",
        f"        hash = {p}_hash(hash, state->voltage, {big}_NEURONS);",
        f"        hash = {p}_hash(hash, logits, {big}_CLASSES);",
        "    }",
        f"    {p}_reset(state);",
        f"    return hash == {golden}u ? 0 : 2;",
        "}",
    ]
