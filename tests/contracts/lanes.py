"""Promises about batch, neurons and data types."""

import copy

import torch

from phc_snn.state import map_state, tensors
from tests.contracts.gradients import smooth
from tests.processes import outputs_of, signal
from tests.tolerances import assert_same_bits

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@torch.no_grad()
def contract_batch_equals_single_samples(process):
    for dtype in (torch.float32, torch.float64):
        x = signal(process, 20, batch=4, dtype=dtype)
        *outputs, state = process.scan(x)
        for i in range(4):
            *alone, alone_state = process.scan(x[:, i : i + 1])
            for got, wanted in zip(alone, outputs, strict=True):
                assert_same_bits(got, wanted[:, i : i + 1])
            for got, wanted in zip(tensors(alone_state), tensors(state), strict=True):
                assert_same_bits(got, wanted[i : i + 1])


@torch.no_grad()
def contract_empty_batch(process):
    x = signal(process, 4, batch=0)
    *outputs, state = process.scan(x)
    assert all(output.shape == x.shape for output in outputs)
    assert all(tensor.shape[0] == 0 for tensor in tensors(state))


@torch.no_grad()
def contract_neurons_do_not_mix(process):
    """What one neuron gets changes nothing in another."""
    x = signal(process, 20)
    changed = x.clone()
    changed[..., 2] = signal(process, 20, seed=1)[..., 2] + 1.0
    others = [0, 1, 3, 4]
    results = process.scan(changed), process.scan(x)
    if process.mixes:
        assert not torch.equal(*(outputs[1][..., others] for outputs in results))
        return
    for got, wanted in zip(*map(outputs_of, results), strict=True):
        assert_same_bits(got[..., others], wanted[..., others])


@torch.no_grad()
def contract_permuted_neurons_give_permuted_results(process):
    """No neuron is special: what belongs to one is its parameters, its input and its state."""
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = copy.deepcopy(process)

    def reordered(tensor):
        return tensor[..., order] if tensor.shape[-1] == process.features else tensor

    for tensor in [*permuted.parameters(), *permuted.buffers()]:
        for axis, size in enumerate(tensor.shape):
            if size == process.features:
                tensor.copy_(tensor.index_select(axis, order))
    x = signal(process, 20)
    *_, state = process.scan(signal(process, 6, seed=1))
    expected = outputs_of(process.scan(x, state))
    actual = outputs_of(permuted.scan(x[..., order], map_state(reordered, state)))
    for got, wanted in zip(actual, expected, strict=True):
        assert_same_bits(got, reordered(wanted))


@torch.no_grad()
def contract_keeps_dtype(process):
    for dtype in DTYPES:
        x = signal(process, 6, dtype=dtype)
        scanned = process.scan(x)
        for found in (
            outputs_of(scanned),
            outputs_of(process.step(x[0], scanned[-1])),
            tensors(process.initial_state(2, dtype=dtype)),
        ):
            assert {t.dtype for t in found if t.is_floating_point()} == {dtype}


@torch.no_grad()
def contract_precision_is_that_of_the_dtype(process):
    """float64 is computed in float64: nothing on the way rounds to float32.

    Spikes are a sigmoid here: where the input is drawn as spikes at the door, a step would let
    nothing through that is smaller than one.
    """
    process = smooth(process)
    x = signal(process, 12) * (1.0 + 1e-12)
    exact = outputs_of(process.scan(x))
    rounded = outputs_of(process.scan(x.float().double()))
    assert any(not torch.equal(a, b) for a, b in zip(exact, rounded, strict=True))
