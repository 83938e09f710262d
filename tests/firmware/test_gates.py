"""What would change a bit is found, and shown to be found."""

import platform
import re
import subprocess
from dataclasses import replace

import pytest
import torch

import phc_snn as phc
from phc_snn.firmware import CORTEX_A76, CORTEX_M4, GPU, HOST, BitReference
from phc_snn.firmware.library import FLAGS
from phc_snn.firmware.plan import make_plan
from phc_snn.firmware.reference import trace
from phc_snn.firmware.source import Source
from phc_snn.firmware.targets import WARNINGS, build, run, symbols
from phc_snn.firmware.verify import record, write_sources
from tests.firmware.test_bits import TARGETS, available, make, signal

ALLOWED = {"memcpy", "memset", "sqrtf", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
PRAGMA = '#pragma GCC optimize("fp-contract=off", "no-associative-math")'
FUSED = ("fmadd", "fmsub", "fnmadd", "fnmsub", "vfma", "vfms", "vfnma", "vfnms", "fmla", "fmls")


def source_of(model):
    return Source(BitReference(model), "network", "test")


@pytest.fixture
def written(tmp_path):
    model = make(neurons=16)
    source = source_of(model)
    names = [name for name, _ in make_plan(model).states]
    write_sources(tmp_path, source, names)
    return tmp_path, model, source, names


def compile_only(target, folder, options=()):
    command = [*target.compiler, *FLAGS, "-O2", *WARNINGS, *options, "-c", "network.c"]
    run([*command, "-o", "network.o"], folder)
    return folder / "network.o"


def disassembly(target, file):
    return run([f"{target.tools}objdump", "-d", file.name], file.parent)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_library_is_wanted_but_the_square_root(target, written):
    available(target)
    assert symbols(target, compile_only(target, written[0])) <= ALLOWED


def test_another_function_of_the_library_would_be_seen(written):
    available(HOST)
    folder, _, source, _ = written
    other = source.code.replace("sqrtf(square", "expf(square")
    assert other != source.code
    (folder / "network.c").write_text(other)
    assert symbols(HOST, compile_only(HOST, folder)) - ALLOWED == {"expf"}


@pytest.mark.parametrize("target", [CORTEX_A76, CORTEX_M4], ids=lambda target: target.name)
def test_nothing_is_fused_and_it_would_be_seen(target, written):
    available(target)
    folder, model, source, names = written
    text = disassembly(target, compile_only(target, folder, ["-ffp-contract=fast"]))
    assert not any(word in text for word in FUSED), "the source turns it off by itself"
    x = signal(steps=30)
    assert record(target, folder, model, names, x, ["-ffp-contract=fast"])[1] == 0

    assert source.code.count(PRAGMA) == 1
    (folder / "network.c").write_text(source.code.replace(PRAGMA, ""))
    text = disassembly(target, compile_only(target, folder, ["-ffp-contract=fast"]))
    assert any(word in text for word in FUSED)
    found, selftest = record(target, folder, model, names, x, ["-ffp-contract=fast"])
    assert selftest == 1
    wanted = trace(BitReference(model), x, names)
    assert not torch.equal(found["voltage"], wanted["voltage"])


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("option", "selftest"),
    [("-fmad=true", 1), ("-ftz=true", 3), ("-prec-div=false", 2), ("-prec-sqrt=false", 2)],
)
def test_a_gpu_that_rounds_otherwise_is_seen(option, selftest, written):
    available(GPU)
    folder, model, _, names = written
    name = option.split("=")[0]
    flags = [option if flag.startswith(name) else flag for flag in GPU.flags]
    assert option in flags
    target = replace(GPU, flags=tuple(flags))
    x = signal(steps=200)
    found, said = record(target, folder, model, names, x)
    assert said == selftest
    wanted = trace(BitReference(model), x, names)
    same = torch.equal(found["voltage"], wanted["voltage"])
    assert same == (option == "-ftz=true"), "only numbers as small as these do not come up here"


def test_functions_and_tables_go_where_they_are_told_to(written):
    """Into the fast memory of a processor, say."""
    available(CORTEX_M4)
    folder = written[0]
    places = [
        f'-DNETWORK_{what}=__attribute__((section(".{place}")))'
        for what, place in (("CODE", "fast_code"), ("TABLE", "fast_tables"))
    ]

    def sizes(options):
        file = compile_only(CORTEX_M4, folder, options)
        listed = run([f"{CORTEX_M4.tools}size", "-A", file.name], folder)
        rows = [line.split() for line in listed.splitlines() if line.startswith(".")]
        return {name: int(size) for name, size, _ in rows}

    usual, told = sizes([]), sizes(places)
    assert told[".text"] == told.get(".rodata", 0) == 0
    assert told[".fast_code"] >= 0.9 * usual[".text"]
    assert told[".fast_tables"] >= usual[".rodata"]


def test_other_weights_are_seen_by_the_selftest(written):
    available(HOST)
    folder, model, source, names = written
    other = source_of(make(neurons=16, seed=5))
    start, end = other.code.index("/* Encoder"), other.code.index("/* Connectome")
    own_start, own_end = source.code.index("/* Encoder"), source.code.index("/* Connectome")
    text = source.code[:own_start] + other.code[start:end] + source.code[own_end:]
    (folder / "network.c").write_text(text)
    assert record(HOST, folder, model, names, signal(steps=3))[1] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-ffast-math"], "ffast-math"),
        (["-freciprocal-math"], "ffast-math"),
        (["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"], "ffast-math"),
        (["-mfpmath=387"], "computed as float"),
    ],
)
def test_options_that_change_arithmetic_are_refused(options, message, written):
    available(HOST)
    with pytest.raises(ChildProcessError, match=message):
        compile_only(HOST, written[0], options)


def test_an_option_that_gcc_says_it_ignores(written):
    """The source's own pragma for contraction would switch it on."""
    available(HOST)
    folder, model, _, names = written
    options = ["-fassociative-math", "-w"]
    assert record(HOST, folder, model, names, signal(steps=3), options)[1] == 0


def test_a_quotient_that_is_a_product_is_seen(written):
    """clang does not say that it computes so: the self-test does."""
    folder, model, source, names = written
    other = source.code.replace("/ count", "* (1.0f / count)")
    assert other != source.code
    (folder / "network.c").write_text(other)
    assert record(HOST, folder, model, names, signal(steps=3))[1] == 2


@pytest.mark.parametrize("case", [{"delay": 100}, {"windows": 3, "window_steps": 100}])
def test_any_number_that_is_another_is_seen_by_the_selftest(case, tmp_path):
    """Of tables that no step of the self-test reaches too: one at a time, of every table."""
    available(HOST)
    model = make(**case)
    source, names = source_of(model), [name for name, _ in make_plan(model).states]
    write_sources(tmp_path, source, names)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "network.h"\nstatic network_state state;\n'
        'int main(void) { printf("%d", network_selftest(&state)); return 0; }\n'
    )
    tables = re.findall(r"static const NETWORK_TABLE \w+ (\w+)\[", source.code)
    assert len(tables) > 10
    for table in tables:
        start = source.code.index("{", source.code.index(f" {table}["))
        numbers = list(re.finditer(r"-?[\d.]+(e-?\d+)?f?(?=,)", source.code[start:]))
        end = source.code.index("};", start) - start
        last = [number for number in numbers if number.end() < end][-1]
        other = "1" if last[0] in ("0", "0.0f") else "0"
        text = source.code[: start + last.start()] + other + source.code[start + last.end() :]
        (tmp_path / "network.c").write_text(text)
        program = build(HOST, tmp_path, ["network.c", "main.c"], "main.elf", ["-O0"])
        assert run([str(program)], tmp_path) == "2", table


def test_header_and_source_of_two_exports_do_not_compile(written):
    available(HOST)
    folder = written[0]
    (folder / "network.h").write_text(source_of(make(neurons=16, seed=7)).header)
    with pytest.raises(ChildProcessError, match=r"network.h and network.c are of two exports"):
        compile_only(HOST, folder)


def test_a_sample_that_is_not_finite_changes_nothing(written):
    """Neither with options that let a compiler assume that there are none."""
    available(HOST)
    folder = written[0]
    (folder / "main.c").write_text("""#include <math.h>
#include <stdio.h>
#include <string.h>
#include "network.h"
int main(void)
{
    static network_state state, before;
    float x[NETWORK_INPUTS] = {1.0f, 2.0f, -1.0f, 0.5f, 2.0f};
    const float bad[4] = {NAN, INFINITY, -INFINITY, 1e20f};
    int k, refused = 0, changed = 0;
    network_reset(&state);
    refused += network_step(&state, x);
    before = state;
    for (k = 0; k < 4; ++k) {
        int i;
        x[k] = bad[k];
        for (i = 0; k == 3 && i < NETWORK_INPUTS; ++i) {
            x[i] = i % 2 ? bad[k] : -bad[k]; /* finite, and what becomes of it is not */
        }
        refused += 10 * network_step(&state, x);
        changed += memcmp(&before, &state, sizeof state) != 0;
        for (i = 0; i < NETWORK_INPUTS; ++i) {
            x[i] = 1.0f;
        }
    }
    refused += network_step(&state, x);
    printf("%d %d %u", refused, changed, (unsigned)state.steps);
    return 0;
}
""")
    for options in ([], ["-ffinite-math-only"]):
        program = build(HOST, folder, ["network.c", "main.c"], "main.elf", options)
        assert run([str(program)], folder) == "40 0 2"


@pytest.mark.parametrize("case", [{}, {"windows": 2, "window_steps": 9}])
def test_a_cleared_readout_begins_a_decision(case, tmp_path):
    """Neurons go on as they were; what is read out, and its steps, begin again."""
    available(HOST)
    model, x = make(**case), signal(steps=30)
    source, names = source_of(model), [name for name, _ in make_plan(model).states]
    write_sources(tmp_path, source, names)
    program = (tmp_path / "_record.c").read_text()
    clear = "if (t == 20) { network_clear_readout(&state); }\n"
    (tmp_path / "_record.c").write_text(
        program.replace("            network_step", clear + "            network_step")
    )
    found, _ = record(HOST, tmp_path, model, names, x)
    reference = BitReference(model)
    state = reference.initial_state(4)
    for t, x_t in enumerate(x):
        if t == 20:
            state = state._replace(total=torch.zeros_like(state.total), steps=0)
        logits, state = reference.step(x_t, state)
        assert torch.equal(found["logits"][t], logits)
    assert torch.equal(found["voltage"], trace(reference, x, names)["voltage"])


def test_the_count_of_steps_ends_with_the_sums(written):
    available(HOST)
    folder, model = written[:2]
    (folder / "main.c").write_text("""#include <stdio.h>
#include <string.h>
#include "network.h"
int main(void)
{
    static network_state state;
    float x[NETWORK_INPUTS] = {2.0f, 2.0f, -1.0f, 2.0f, 2.0f}, before[NETWORK_READ];
    int k;
    network_reset(&state);
    network_step(&state, x);
    state.steps = 0xfffffffeu;
    network_step(&state, x);
    memcpy(before, state.total, sizeof before);
    for (k = 0; k < 50; ++k) {
        network_step(&state, x);
    }
    printf("%lu %d", (unsigned long)state.steps, memcmp(before, state.total, sizeof before));
    return 0;
}
""")
    program = build(HOST, folder, ["network.c", "main.c"], "main.elf")
    assert run([str(program)], folder) == "4294967295 0"
    reference = BitReference(model)
    state = reference.initial_state(1)._replace(steps=2**32 - 1)
    _, after = reference.step(torch.ones(1, 5), state)
    assert after.steps == 2**32 - 1
    assert torch.equal(after.total, state.total)


def test_a_processor_that_takes_small_numbers_for_zero_is_seen(written):
    """A mode of the processor, which another part of the program can set."""
    available(HOST)
    folder, model, _, names = written
    main = (folder / "_record.c").read_text()
    set_mode = "{\n    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);"
    (folder / "_record.c").write_text(
        main.replace("int main(void)\n{", f"int main(void)\n{set_mode}")
    )
    if platform.machine() != "x86_64":
        pytest.skip("the mode is set as x86 has it")
    assert record(HOST, folder, model, names, signal(steps=3))[1] == 3


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_mode_that_compilers_take_by_themselves(target, written):
    available(target)
    command = [
        *target.compiler,
        "-std=gnu11",
        "-O2",
        *WARNINGS,
        "-c",
        "network.c",
        "-o",
        "network.o",
    ]
    run(command, written[0])


def test_the_output_of_another_run_is_not_read(written):
    available(HOST)
    folder, model, _, names = written
    x = signal(steps=3)
    record(HOST, folder, model, names, x)
    assert (folder / "output.bin").stat().st_size > 0
    main = (folder / "_record.c").read_text()
    (folder / "_record.c").write_text(
        main.replace("int main(void)\n{", "int main(void)\n{ return 0;")
    )
    with pytest.raises(ChildProcessError, match="did not write all steps"):
        record(HOST, folder, model, names, x, ["-w"])


def test_a_network_that_is_too_large_does_not_link(tmp_path):
    available(CORTEX_M4)
    model = phc.PHCSSM(5, 3, neurons=256, topology=phc.Topology.feedforward(256, regions=1))
    names = [name for name, _ in make_plan(model).states]
    write_sources(tmp_path, source_of(model), names)
    with pytest.raises(ChildProcessError, match="region `FLASH' overflowed"):
        build(CORTEX_M4, tmp_path, ["network.c", "_record.c"], "record.elf")


@pytest.mark.parametrize("case", [{}, {"windows": 2, "window_steps": 9, "delay": [1, 3] * 8}])
def test_sanitizers_find_nothing(case, tmp_path):
    available(HOST)
    model = make(neurons=16, **case)
    names = [name for name, _ in make_plan(model).states]
    write_sources(tmp_path, source_of(model), names)
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    found, selftest = record(HOST, tmp_path, model, names, signal(), options)
    assert selftest == 0
    wanted = trace(BitReference(model), signal(), names)
    assert torch.equal(found["logits"], wanted["logits"])


@pytest.mark.parametrize(
    "command",
    ["clang -std=c99", "gcc -O3 -std=c11", "g++ -x c++ -std=c++17 -fsyntax-only"],
)
def test_other_compilers(command, written):
    folder = written[0]
    compiler, *options = command.split()
    if subprocess.run(["which", compiler], capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} not found")
    if compiler == "g++":  # the header in a program, and the source, which a GPU takes as C++
        (folder / "user.cpp").write_text(
            '#include "network.h"\nint f() { return network_selftest(nullptr); }\n'
        )
        run([compiler, *options, *WARNINGS, "user.cpp"], folder)
        run([compiler, *options, *WARNINGS, "network.c"], folder)
        return
    run([compiler, *options, *WARNINGS, "-O2", "-c", "network.c", "-o", "network.o"], folder)
