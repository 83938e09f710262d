"""Chains of models in one kernel, against their tensor operations."""

import pytest
import torch

import phc_snn as phc
from phc_snn.kernels import Stage, run
from phc_snn.kernels.cpu_source import EVERY, NumbaSource
from phc_snn.neurons import linoss, spiking_ssm
from phc_snn.state import map_state, tensors
from phc_snn.surrogate import heaviside
from tests.kernels.comparison import (
    BOTH,
    assert_same_results,
    assert_stages_agree,
    by_kernel,
    by_operations,
    flat,
    gradients,
    leaf,
    leaves_of,
    stages_of,
)
from tests.processes import MODELS, N, signal, vary

LENGTHS = (1, 2, 17, EVERY + 1, 2 * EVERY)


def _of_lanes(process):
    """Whether a step is one of lanes: not so of a delay, of modes that are summed, of a counter,
    and of matrices between neurons and states."""
    parts = tensors(process.initial_state(1))
    return not process.mixes and all(
        part.shape == (1, N) and part.is_floating_point() for part in parts
    )


JOINED = [n for n, make in MODELS.items() if not _of_lanes(make()) and not n.startswith("Delay")]
ALONE = [name for name, make in MODELS.items() if _of_lanes(make())]


def delayed(steps):
    """A neuron, its axon and a synapse."""
    return [
        vary(phc.LIF(N, reset_mechanism="subtract")),
        phc.Delay(N, steps=steps),
        vary(phc.TsodyksMarkram(N)),
    ]


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("model", ALONE)
class TestModels:
    def test_results_and_gradients(self, model, dtype):
        process = vary(MODELS[model]())
        for length in LENGTHS:
            x = signal(process, length, dtype=dtype)
            assert_stages_agree(stages_of([process], dtype, state_seed=length), x)

    def test_long_sequence(self, model, dtype):
        process = vary(MODELS[model]())
        x = signal(process, 1023, dtype=dtype)
        with torch.no_grad():
            stages = stages_of([process], dtype)
            assert_same_results(flat(by_kernel(stages, x)), flat(by_operations(stages, x)))

    def test_memory_layout_and_carried_state(self, model, dtype):
        process = vary(MODELS[model]())
        stages = stages_of([process], dtype, state_seed=1)
        x = signal(process, 20, dtype=dtype)
        whole = flat(by_kernel(stages, x))
        strided = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        assert not strided.is_contiguous()
        assert_same_results(flat(by_kernel(stages, strided)), whole)
        first, _, states = by_kernel(stages, x[:7])
        carried = [s._replace(state=state) for s, state in zip(stages, states, strict=True)]
        second, _, states = by_kernel(carried, x[7:])
        joined = [torch.cat(parts) for parts in zip(first, second, strict=True)]
        assert_same_results([*joined, *flat(([], [], states))], [*joined, *whole[2 * len(first) :]])
        assert_same_results(joined, whole[: len(first)])


@pytest.mark.parametrize("model", JOINED)
def test_what_joins_lanes_has_no_kernel(model):
    process = MODELS[model]()
    refusal = run.chain_refusal(stages_of([process], torch.float32), signal(process, 5).float())
    assert refusal is not None


def firing_of_a_spiking_ssm(dtype):
    c = MODELS["SpikingSSM"]().coefficients(dtype)
    firing = spiking_ssm._Firing(c.membrane_decay, leaf(c.threshold), c.emit)
    membrane = leaf(torch.randn(3, N, dtype=dtype))
    return Stage(spiking_ssm._fire, firing, spiking_ssm._Membrane(membrane))


def oscillators_of(model):
    def made(dtype):
        neuron = model(3, states=4)
        motion = map_state(leaf, neuron.coefficients(dtype).motion)
        state = phc.LinOSSState(*(leaf(torch.randn(3, 8, dtype=dtype)) for _ in range(2)))
        return Stage(linoss._oscillate, motion, state)

    return made


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "make",
    [firing_of_a_spiking_ssm, oscillators_of(phc.LinOSS), oscillators_of(phc.LinOSSIMEX)],
    ids=["SpikingSSM", "LinOSS-IM", "LinOSS-IMEX"],
)
def test_the_part_of_a_joined_model_that_is_one_lane_each(make, dtype):
    for length in LENGTHS:
        stage = make(dtype)
        width = next(iter(stage.state)).shape[-1]
        assert_stages_agree([stage], 2.0 * torch.randn(length, 3, width, dtype=dtype))


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    "steps",
    [1, 3, 40, [1, 2, 3, 5, 2], [0, 1, 2, 4, 1], [0, 30, 1, 70, 3]],
    ids=str,
)
def test_chain_with_a_delay(steps, dtype):
    """Per-neuron delays, some of them 0; delays longer than the sequence."""
    for length in (1, 17, EVERY + 1):
        stages = stages_of(delayed(steps), dtype, state_seed=length)
        assert_stages_agree(stages, signal(phc.LIF(N), length, dtype=dtype))


def test_delays_that_differ_by_as_much_are_not_one_program():
    """1 to 5 steps let a step be known ahead, 0 to 4 do not, whichever comes first."""
    run._found.clear()
    for steps in ([1, 2, 3, 5, 2], [0, 1, 2, 4, 1]):
        stages = stages_of(delayed(steps), torch.float64, state_seed=2)
        assert_stages_agree(stages, signal(phc.LIF(N), 20))


@pytest.mark.parametrize("shape", [(), (1,), (1, N), (3, 1), (3, N)], ids=str)
def test_coefficients_broadcast(shape):
    (stage,) = stages_of([vary(phc.ALIF(N))], torch.float64, state_seed=1)
    x = signal(phc.ALIF(N), EVERY + 5)
    c = stage.coefficients
    values = torch.rand(shape, dtype=torch.float64)
    c = c._replace(membrane_decay=leaf(values * 0.9), adaptation_strength=leaf(values))
    assert_stages_agree([stage._replace(coefficients=c)], x)


@pytest.mark.parametrize("shape", [(0, 3, N), (4, 0, N)], ids=str)
def test_nothing_to_compute(shape):
    for process in (phc.ALIF(N), phc.LIF(N, reset_mechanism="zero"), phc.Delay(N)):
        spikes, *_ = process.scan(torch.zeros(shape, requires_grad=True))
        assert spikes.shape == shape
        if spikes.requires_grad:
            spikes.sum().backward()


@pytest.mark.parametrize("function", ["forward", "backward"])
def test_a_wrong_sign_is_seen(monkeypatch, function):
    """The comparisons above are worth something."""
    head = f"def {function}("

    def broken(self):
        text = module(self)
        before, after = text.split(head)
        body, *rest = after.split("@compiled", 1)
        place = body.rindex(" * ")  # the last product feeds a result
        body = f"{body[:place]} * -{body[place + 3 :]}"
        return head.join([before, "@compiled".join([body, *rest])])

    module = NumbaSource._module
    monkeypatch.setattr(NumbaSource, "_module", broken)
    monkeypatch.setattr(run, "_found", {})
    stages = stages_of([vary(phc.TsodyksMarkram(N))], torch.float64, state_seed=1)
    with pytest.raises(AssertionError, match=r"values differ|of"):
        assert_stages_agree(stages, signal(phc.TsodyksMarkram(N), EVERY + 5))


def scaled_step(x, state, c, time):
    """Passes a gradient to its coefficient, and none to its input."""
    return (c * heaviside(x),), state


def test_an_input_that_nothing_smooth_hangs_on_has_no_gradient(poisoned):
    for _ in range(2):
        stages = [Stage(scaled_step, leaf(torch.full((N,), 2.0)), ())]
        assert_stages_agree(stages, torch.randn(6, 3, N))
        stages = [*stages_of([phc.LIF(N), phc.Delay(N, 2)], torch.float32), *stages]
        assert_stages_agree(stages, torch.randn(6, 3, N))


@pytest.mark.parametrize("processes", [["ALIF-lag"], ["CubaLIF-zero"], "delayed"], ids=str)
def test_memory_that_was_not_written_is_not_read(processes, poisoned):
    chain = delayed([0, 1, 2, 5, 1]) if processes == "delayed" else [MODELS[processes[0]]()]
    stages = stages_of(chain, torch.float32, state_seed=3)
    x = leaf(signal(chain[0], EVERY + 3, dtype=torch.float32))
    results = flat(by_kernel(stages, x))
    found = [*results, *gradients(results, [x, *leaves_of(stages)])]
    assert all(bool(torch.isfinite(t).all()) for t in found)
