"""Promises about time."""

import torch

import phc_snn as phc
from phc_snn.axes import Trajectory
from phc_snn.state import map_state, tensors
from tests.processes import backends, in_chunks, in_steps, outputs_of, raised, signal
from tests.tolerances import assert_near, assert_same_bits

BITWISE = (torch.float32, torch.float64)
LENGTHS = (0, 1, 2, 3, 17, 1024)


def _same(actual, expected):
    for got, wanted in zip(outputs_of(actual), outputs_of(expected), strict=True):
        assert_same_bits(got, wanted)


@torch.no_grad()
def contract_step_equals_scan(process):
    for dtype in BITWISE:
        x = signal(process, 40, dtype=dtype)
        _same(in_steps(process, x), process.scan(x))
        _, *_, carried = process.scan(signal(process, 9, dtype=dtype, seed=1))
        _same(in_steps(process, x, carried), process.scan(x, carried))


@torch.no_grad()
def contract_chunks_equal_whole(process):
    for dtype in BITWISE:
        x = signal(process, 23, dtype=dtype)
        whole = process.scan(x)
        for sizes in ([1, 22], [11, 12], [1, 1, 2, 3, 16], [0, 7, 0, 16], [23, 0]):
            _same(in_chunks(process, x, sizes), whole)


@torch.no_grad()
def contract_trajectory_holds_the_state_after_every_step(process):
    """What a solver takes a run up from, in the middle of a sequence."""
    for dtype in BITWISE:
        x = signal(process, 12, dtype=dtype)
        _, *_, carried = process.scan(signal(process, 9, dtype=dtype, seed=1))
        coefficients = process.coefficients(dtype)
        outputs, trajectory = process.dynamics(x, carried, coefficients, Trajectory())
        *expected, _ = process.scan(x, carried)
        for got, wanted in zip(outputs, expected, strict=True):
            assert_same_bits(got, wanted)
        for t in range(len(x)):
            *_, state = process.scan(x[: t + 1], carried)
            for got, wanted in zip(tensors(trajectory), tensors(state), strict=True):
                assert_same_bits(got[t], wanted)


@torch.no_grad()
def contract_future_cannot_change_past(process):
    x = signal(process, 30)
    changed = x.clone()
    changed[17:] = signal(process, 13, seed=2) + 1.0
    *outputs, _ = process.scan(x)
    *others, _ = process.scan(changed)
    for output, other in zip(outputs, others, strict=True):
        assert_same_bits(other[:17], output[:17])


@torch.no_grad()
def contract_past_changes_future(process):
    """Time is no batch dimension: the same input after another past gives another output."""
    x = signal(process, 30)
    changed = x.clone()
    changed[:20] = signal(process, 20, seed=3) + 0.5
    *outputs, _ = process.scan(x)
    *others, _ = process.scan(changed)
    assert any(not torch.equal(a[20:], b[20:]) for a, b in zip(outputs, others, strict=True))


@torch.no_grad()
def contract_given_state_matters(process):
    _, *_, carried = process.scan(signal(process, 20, seed=4))
    x = signal(process, 10)
    rested, resumed = outputs_of(process.scan(x)), outputs_of(process.scan(x, carried))
    assert any(not torch.equal(a, b) for a, b in zip(rested, resumed, strict=True))


@torch.no_grad()
def contract_forgets(process):
    """Two pasts are one in the long run: every trace decays, unless energy is conserved."""
    _, *_, one = process.scan(signal(process, 50, seed=5) + 0.5)
    _, *_, other = process.scan(signal(process, 50, seed=6))
    x = torch.zeros_like(signal(process, 3000))
    *_, late = process.scan(x, one)
    *_, other_late = process.scan(x, other)

    def gap(a, b):
        return max(float((p - q).abs().max()) for p, q in zip(tensors(a), tensors(b), strict=True))

    left = gap(late, other_late) / gap(one, other)
    assert left <= 0.05 if process.forgets else 0.05 < left < 20.0


@torch.no_grad()
def contract_any_length(process):
    for length in LENGTHS:
        x = signal(process, length, batch=2)
        *outputs, state = process.scan(x)
        for output in outputs:
            assert output.shape == x.shape
            assert bool(torch.isfinite(output).all())
        resting = process.initial_state(2, dtype=x.dtype)
        for after, before in zip(tensors(state), tensors(resting), strict=True):
            assert after.shape == before.shape
            assert bool(torch.isfinite(after).all())


@torch.no_grad()
def contract_empty_sequence_keeps_state(process):
    for length in (0, 3):
        *_, state = process.scan(signal(process, length))
        *outputs, after = process.scan(signal(process, 0), state)
        assert all(output.shape == (0, 3, process.features) for output in outputs)
        for now, before in zip(tensors(after), tensors(state), strict=True):
            assert_same_bits(now, before)


@torch.no_grad()
def contract_memory_layout_is_irrelevant(process):
    x = signal(process, 12)
    whole = process.scan(x)
    _same(process.scan(x.permute(2, 1, 0).contiguous().permute(2, 1, 0)), whole)
    _same(process.scan(x.transpose(0, 1).contiguous().transpose(0, 1)), whole)
    _same(process.scan(x.repeat_interleave(2, dim=0)[::2]), whole)


@torch.no_grad()
def contract_input_drives_output(process):
    """Strong input gets through, and a neuron is silent without any."""
    first = process.scan(torch.full((30, 2, process.features), 20.0))[0]
    if not getattr(process, "EXCITABLE", True):
        other = process.scan(torch.full((30, 2, process.features), -20.0))[0]
        without = process.scan(torch.zeros(30, 2, process.features))[0]
        assert bool(((first != without) | (other != without)).any(0).all())
        assert float(torch.maximum(first.abs(), other.abs()).max()) <= 1.0
        assert bool(without.any()) == process.SPONTANEOUS
        return
    assert bool((first != 0).any())
    if isinstance(process, phc.Neuron):
        assert set(first.unique().tolist()) <= {0.0, 1.0}
        # Not in every step: a reset may take the next input too, and adaptation what follows.
        assert bool((first == 1).any(0).all())
        silent = process.scan(torch.full((30, 2, process.features), -20.0))[0]
        assert not bool(silent.any())


@torch.no_grad()
def contract_associative_backend_agrees(process):
    if "associative" not in backends(process):
        refused = raised(lambda: process.scan(signal(process, 3), backend="associative"))
        assert isinstance(refused, ValueError)
        assert "backend 'associative'" in str(refused)
        return
    for length in (1, 2, 17, 64):
        x = signal(process, length)
        *_, carried = process.scan(signal(process, 6, seed=8))
        expected = process.scan(x, carried)
        actual = process.scan(x, carried, backend="associative")
        for got, wanted in zip(outputs_of(actual), outputs_of(expected), strict=True):
            assert_near(got, wanted)


@torch.no_grad()
def contract_given_state_is_not_changed(process):
    x = signal(process, 8)
    *_, state = process.scan(signal(process, 8, seed=9))
    state = map_state(torch.clone, state)
    kept, x_kept = map_state(torch.clone, state), x.clone()
    process.scan(x, state)
    process.step(x[0], state)
    assert_same_bits(x, x_kept)
    for now, before in zip(tensors(state), tensors(kept), strict=True):
        assert_same_bits(now, before)


@torch.no_grad()
def contract_calls_leave_no_trace(process):
    """All memory is in the state that is passed: the same call gives the same result again."""
    x = signal(process, 15)
    _same(process.scan(x), process.scan(x))
    _same(process.step(x[0]), process.step(x[0]))
