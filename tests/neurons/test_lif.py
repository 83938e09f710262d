"""`LIF`, which is ``snntorch.Leaky`` without reset."""

import pytest
import snntorch
import torch

import phc_snn as phc
from tests.tolerances import assert_near, assert_same_bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay", [0.0, 0.3, [0.1, 0.5, 0.9, 0.99, 0.0, 0.7]])
@pytest.mark.parametrize("threshold", [1.0, 0.3])
def test_step_has_the_bits_of_snntorch_leaky(dtype, decay, threshold):
    lif = phc.LIF(6, membrane_decay=decay, threshold=threshold).to(dtype)
    leaky = snntorch.Leaky(
        beta=lif.membrane_decay.detach(), threshold=threshold, reset_mechanism="none"
    ).to(dtype)
    mem, state = torch.zeros(3, 6, dtype=dtype), None
    fired = 0
    for x_t in torch.randn(100, 3, 6, dtype=dtype):
        spk, mem = leaky(x_t, mem)
        spikes, voltage, state = lif.step(x_t, state)
        # snnTorch's spikes are float32 whatever the input.
        assert_same_bits(spikes, spk.to(dtype))
        assert_same_bits(voltage, mem)
        assert_same_bits(state.membrane, mem)
        fired += int(spikes.sum())
    assert fired > 0


def test_impulse_decays_geometrically():
    impulse = torch.zeros(6, 1, 2, dtype=torch.float64)
    impulse[0] = 1.0
    lif = phc.LIF(2).double()
    lif.membrane_decay = [0.5, 0.9]
    voltage = lif.scan(impulse)[1]
    expected = torch.tensor([0.5, 0.9], dtype=torch.float64) ** torch.arange(6.0)[:, None]
    assert_near(voltage[:, 0], expected)


def test_decay_can_be_learned():
    torch.manual_seed(0)
    x = torch.randn(30, 8, 3)
    target = phc.LIF(3, membrane_decay=[0.2, 0.6, 0.95]).scan(x)[1].detach()
    lif = phc.LIF(3, membrane_decay=0.5)
    optimizer = torch.optim.Adam(lif.parameters(), lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        (lif.scan(x)[1] - target).square().mean().backward()
        optimizer.step()
    assert lif.membrane_decay.tolist() == pytest.approx([0.2, 0.6, 0.95], abs=0.02)


@pytest.mark.parametrize("decay", [-0.1, 1.0001, 1.5, float("nan")])
def test_decay_out_of_range(decay):
    with pytest.raises(
        ValueError, match=r"membrane_decay: got values .* expected 0 <= membrane_dec"
    ):
        phc.LIF(3, membrane_decay=decay)
