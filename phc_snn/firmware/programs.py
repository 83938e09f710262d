"""Programs around the C code of a network, and what they read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def record_program(prefix: str, states: Sequence[str]) -> str:
    """A program that runs sequences of a file, and writes all bits of every step to another."""
    big = prefix.upper()
    written = "\n".join(
        f"            fwrite(state.{name}, sizeof state.{name}, 1, to);"
        for name in ("voltage", *states, "spikes")
    )
    return f"""#include <stdint.h>
#include <stdio.h>
#include "{prefix}.h"

static {prefix}_state state;

int main(void)
{{
    FILE *from = fopen("input.bin", "rb"), *to = fopen("output.bin", "wb");
    uint32_t sequences, steps, n, t;
    float x[{big}_INPUTS], logits[{big}_CLASSES];
    if (!from || !to || fread(&sequences, sizeof sequences, 1, from) != 1) {{
        return 1;
    }}
    for (n = 0; n < sequences; ++n) {{
        if (fread(&steps, sizeof steps, 1, from) != 1) {{
            return 1;
        }}
        {prefix}_reset(&state);
        for (t = 0; t < steps; ++t) {{
            if (fread(x, sizeof x, 1, from) != 1) {{
                return 1;
            }}
            {prefix}_step(&state, x);
            {prefix}_logits(&state, logits);
{written}
            fwrite(logits, sizeof logits, 1, to);
        }}
    }}
    fclose(to);
    printf("selftest %d\\n", {prefix}_selftest(&state));
    return 0;
}}
"""


def write_input(path: Path, sequences: Sequence[Tensor]) -> None:
    """Sequences (T, D_in) as the program of `record_program` reads them."""
    parts = [np.uint32(len(sequences)).tobytes()]
    for x_seq in sequences:
        parts += [np.uint32(len(x_seq)).tobytes(), x_seq.to(torch.float32).numpy().tobytes()]
    path.write_bytes(b"".join(parts))


def record_on_gpu(prefix: str, states: Sequence[str]) -> str:
    """As `record_program` in CUDA: every sequence is a thread, and the C code is as it stands."""
    big = prefix.upper()
    written = "\n".join(
        f"        to = put(to, state->{name}, sizeof state->{name});"
        for name in ("voltage", *states, "spikes")
    )
    sizes = " + ".join(f"sizeof({prefix}_state::{name})" for name in ("voltage", *states, "spikes"))
    return f"""#define {big}_CODE __device__
#define {big}_TABLE __device__
#include "{prefix}.c"

#include <cstdio>
#include <cstdlib>
#include <vector>

static __device__ unsigned char *put(unsigned char *to, const void *from, size_t size)
{{
    memcpy(to, from, size);
    return to + size;
}}

static constexpr size_t LOGITS = sizeof(float) * {big}_CLASSES;
static constexpr size_t ROW = {sizes} + LOGITS;

static __global__ void run(const float *x, const uint32_t *first, {prefix}_state *states,
                           unsigned char *to)
{{
    {prefix}_state *state = &states[blockIdx.x];
    float logits[{big}_CLASSES];
    to += ROW * first[blockIdx.x];
    {prefix}_reset(state);
    for (uint32_t t = first[blockIdx.x]; t < first[blockIdx.x + 1]; ++t) {{
        {prefix}_step(state, x + size_t({big}_INPUTS) * t);
        {prefix}_logits(state, logits);
{written}
        to = put(to, logits, LOGITS);
    }}
}}

static __global__ void test({prefix}_state *state, int *found)
{{
    *found = {prefix}_selftest(state);
}}

static void check(cudaError_t error)
{{
    if (error != cudaSuccess) {{
        printf("%s\\n", cudaGetErrorString(error));
        exit(1);
    }}
}}

template <class T> static T *on_gpu(size_t count, const T *from = nullptr)
{{
    T *to = nullptr;
    check(cudaMalloc(&to, (count ? count : 1) * sizeof(T)));
    if (from) {{
        check(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyHostToDevice));
    }}
    return to;
}}

int main()
{{
    FILE *input = fopen("input.bin", "rb"), *output = fopen("output.bin", "wb");
    uint32_t sequences, steps;
    if (!input || !output || fread(&sequences, sizeof sequences, 1, input) != 1) {{
        return 1;
    }}
    std::vector<uint32_t> first(1, 0u);
    std::vector<float> x;
    for (uint32_t n = 0; n < sequences; ++n) {{
        if (fread(&steps, sizeof steps, 1, input) != 1) {{
            return 1;
        }}
        first.push_back(first.back() + steps);
        const size_t before = x.size(), more = size_t({big}_INPUTS) * steps;
        x.resize(before + more);
        if (fread(x.data() + before, sizeof(float), more, input) != more) {{
            return 1;
        }}
    }}
    std::vector<unsigned char> rows(ROW * first.back());
    auto *states = on_gpu<{prefix}_state>(sequences);
    auto *to = on_gpu<unsigned char>(rows.size());
    run<<<sequences, 1>>>(on_gpu(x.size(), x.data()), on_gpu(first.size(), first.data()), states,
                          to);
    check(cudaGetLastError());
    check(cudaMemcpy(rows.data(), to, rows.size(), cudaMemcpyDeviceToHost));
    fwrite(rows.data(), 1, rows.size(), output);
    fclose(output);

    int found = -1, *at = on_gpu(1, &found);
    test<<<1, 1>>>(states, at);
    check(cudaGetLastError());
    check(cudaMemcpy(&found, at, sizeof found, cudaMemcpyDeviceToHost));
    printf("selftest %d\\n", found);
    return 0;
}}
"""


def count_program(prefix: str) -> str:
    """A program for the board that counts what the self-test and steps take."""
    big = prefix.upper()
    return f"""#include <stdint.h>
#include <stdio.h>
#include "{prefix}.h"

#define CONTROL (*(volatile uint32_t *)0xE000E010u)
#define RELOAD (*(volatile uint32_t *)0xE000E014u)
#define VALUE (*(volatile uint32_t *)0xE000E018u)

#define DEEPEST 2097152u
#define PAINT 0xA5u

static {prefix}_state state;

int main(void)
{{
    float x[{big}_INPUTS];
    uint32_t random = 1u, began, ticks = 0u;
    unsigned int t, k;
    unsigned char *top;
    volatile unsigned char *at;
    int failed;
    /* Below the stack nothing is kept: what is overwritten there, calls took. */
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (at = top - DEEPEST; at < top; ++at) {{
        *at = PAINT;
    }}
    failed = {prefix}_selftest(&state);
    for (at = top - DEEPEST; at < top && *at == PAINT; ++at) {{
    }}
    {prefix}_reset(&state);
    RELOAD = 0xFFFFFFu;
    VALUE = 0u;
    CONTROL = 5u;
    for (t = 0; t < 200u; ++t) {{
        for (k = 0; k < {big}_INPUTS; ++k) {{
            random = random * 1664525u + 1013904223u;
            x[k] = ((float)(random >> 16) - 32768.0f) / 16384.0f;
        }}
        began = VALUE;
        {prefix}_step(&state, x);
        ticks += (began - VALUE) & 0xFFFFFFu;
    }}
    printf("%d %u %u %u 200\\n", failed, (unsigned)sizeof state, (unsigned)(top - at),
           (unsigned)ticks);
    return 0;
}}
"""
