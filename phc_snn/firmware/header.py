"""The header of the C99 library, and the words at the head of both files."""

from phc_snn.firmware.library import BUILD, FLAGS, Library


def about(library: Library) -> list[str]:
    model = library.model
    network = model.network
    chain = ", ".join(type(p).__name__ for p in (network.neuron, *network.synapses))
    return [
        "/*",
        f" * A recurrent spiking network, written by phc_snn {library.version}.",
        " *",
        f" * {model.in_features} inputs, {library.neurons} neurons, {model.num_classes} classes; "
        f"{chain}; readout of the mean {model.readout}.",
        f" * Weights: SHA-256 {library.weight_hash}.",
        " *",
        f" * Compile with {' '.join(FLAGS)}. Every operation is one of IEEE 754 in single",
        " * precision, in the order that stands here, so that each target gives the same bits.",
        " */",
    ]


def header(library: Library) -> list[str]:
    p, big = library.prefix, library.big
    model, plan = library.model, library.plan
    fields = [f"    float {name}[{big}_NEURONS];" for name, _ in plan.states]
    for k, ring in enumerate(plan.rings):
        kind = "unsigned char" if ring.binary else "float"
        fields.append(f"    {kind} sent_{k}[{ring.depth}][{big}_NEURONS];")
        fields.append(f"    unsigned int slot_{k};")
    return [
        *about(library),
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
        f"#define {big}_NEURONS {library.neurons}",
        f"#define {big}_CLASSES {model.num_classes}",
        f"#define {big}_READ {library.read * model.windows}",
        f"#define {big}_BUILD {BUILD} /* of header and source alike */",
        "",
        "/* What stands before each function and each table: nothing, or where they have to go, as",
        " * an attribute of the compiler says it. */",
        f"#ifndef {big}_CODE",
        f"#define {big}_CODE",
        "#endif",
        f"#ifndef {big}_TABLE",
        f"#define {big}_TABLE",
        "#endif",
        "",
        "/* Everything that is carried from one step to the next. The caller owns it. */",
        "typedef struct {",
        "    /* What the equations of neurons and synapses carry, and what is on its way. */",
        *fields,
        "    /* What is read. */",
        f"    float total[{big}_READ];             /* sums over time that are read out */",
        "    uint32_t steps; /* stops at the largest number */",
        f"    float voltage[{big}_NEURONS];        /* of the last step */",
        f"    unsigned char spikes[{big}_NEURONS]; /* of the last step, 0 or 1 */",
        f"}} {p}_state;",
        "",
        "/* At rest, nothing read out. Call it before the first step of a sequence. */",
        f"{big}_CODE void {p}_reset({p}_state *state);",
        "",
        "/* One time step. 0, or 1 if x has NaN or Inf, or numbers so large that the encoder",
        " * overflows: then nothing has happened. */",
        f"{big}_CODE int {p}_step({p}_state *state, const float x[{big}_INPUTS]);",
        "",
        *_what_logits_say(library),
        f"{big}_CODE void {p}_logits(const {p}_state *state, float logits[{big}_CLASSES]);",
        "",
        "/* Forget what has been read out, and only that: the next decision is of steps to come.",
        " * For input without an end. What is read out is summed up in single precision, which",
        " * does for some million steps: call this, or reset, before. */",
        f"{big}_CODE void {p}_clear_readout({p}_state *state);",
        "",
        "/* The class of the largest logit. */",
        f"{big}_CODE int {p}_decide(const float logits[{big}_CLASSES]);",
        "",
        "/* 0 if this machine computes the bits that it should, else why not:",
        " * 1 multiplications are fused with additions, 2 another result of the network,",
        " * 3 the smallest numbers are taken for 0.",
        " * It uses the state, which is at rest afterwards. */",
        f"{big}_CODE int {p}_selftest({p}_state *state);",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
    ]


def _what_logits_say(library: Library) -> list[str]:
    model = library.model
    if model.windows == 1:
        of = "the mean of all steps since the reset"
    else:
        of = (
            f"the means of {model.windows} windows of {model.window_steps} steps since the reset, "
            "the last one without an end"
        )
    return [
        "/* One number for each class, the largest decides. Of",
        f" * {of}; before the first step, of zeros. */",
    ]
