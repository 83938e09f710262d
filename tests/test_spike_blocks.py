"""Blocks of P-SpikeSSM, and the classifier that is made of them."""

import pytest
import torch

import phc_snn as phc
from phc_snn.state import map_state, tensors
from tests.tolerances import assert_near, assert_same_bits

KINDS = ("zoh", "bilinear", "dplr")


def stack(discretization="zoh", trained=True, **options):
    """A small one; ``trained``: its norms have seen something."""
    generator = torch.Generator().manual_seed(0)
    made = phc.PSpikeStack(
        3, 10, features=6, modes=4, discretization=discretization, generator=generator, **options
    )
    if trained:
        with torch.no_grad():
            made(torch.rand(50, 4, 3, generator=generator))
    return made.eval()


def sequence(steps=20, batch=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, batch, 3, generator=generator, dtype=torch.float64).to(dtype)


def published_backbone():
    return phc.PSpikeStack(
        1, 10, features=400, blocks=2, modes=32, discretization="dplr", bidirectional=True
    )


def test_published_number_of_parameters():
    """Two blocks and the last norm; the authors' program holds what it never calls besides."""
    made = published_backbone()
    ours = sum(p.numel() for part in (made.blocks, made.norm) for p in part.parameters())
    per_block = {name: p.numel() for name, p in made.blocks[0].named_parameters()}
    assert sum(n for name, n in per_block.items() if name.startswith("neuron.c_")) == 51_200
    shared = ("neuron.log_decay_rate", "neuron.frequency", "neuron.b_", "neuron.p_")
    assert sum(n for name, n in per_block.items() if name.startswith(shared)) == 192
    assert per_block["mixer.weight"] + per_block["mixer.bias"] == 160_400
    assert ours == 430_784
    output_linear = 400 * 800 + 800  # in each block, never called
    other_affine = 2 * 400  # inp2_a and inp2_b in each block
    assert ours + 2 * output_linear + 2 * other_affine == 1_073_984


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("discretization", KINDS)
@torch.no_grad()
def test_steps_chunks_and_the_whole_have_the_same_bits(discretization, residual, dtype):
    made, x = stack(discretization, residual=residual), sequence(dtype=dtype)
    start = made.initial_state(3, generator=torch.Generator().manual_seed(2), dtype=dtype)
    whole, end = made(x, start)
    state = start
    for x_t in x:
        logits, state = made.step(x_t, state)
    _, middle = made(x[:7], start)
    chunked, later = made(x[7:], middle)
    for found, after in ((logits, state), (chunked, later)):
        assert_same_bits(found, whole)
        for got, wanted in zip(tensors(after), tensors(end), strict=True):
            assert_same_bits(got, wanted)
    alone, _ = made(x[:, 1:2], map_state(lambda s: s[1:2], start))
    assert_same_bits(alone, whole[1:2])
    assert_same_bits(made(x[:0], end)[0], whole)


@torch.no_grad()
def test_is_made_of_its_parts():
    made, x = stack(residual=True), sequence()
    made.double()
    signal = x @ made.encoder.weight.T + made.encoder.bias
    for block in made.blocks:
        norm = block.norm
        p = torch.nn.functional.batch_norm(
            (block.inp_a * signal + block.inp_b).reshape(-1, 6),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
        )
        spikes, _, _ = block.neuron.scan(p.reshape(signal.shape))
        mixed = spikes @ block.mixer.weight.T + block.mixer.bias
        signal = signal + torch.nn.functional.gelu(mixed)
    assert_near(made(x)[0], made.decoder(made.norm(signal).mean(0)))


def test_norm_in_training_is_that_of_torch():
    norm, plain = phc.FeatureNorm(6), torch.nn.BatchNorm1d(6)
    x = torch.randn(9, 4, 6)
    assert_near(norm(x), plain(x.reshape(-1, 6)).reshape(x.shape))
    assert_near(norm.running_var, plain.running_var)
    norm.eval()
    plain.eval()
    assert_near(norm(x), plain(x.reshape(-1, 6)).reshape(x.shape))
    assert_same_bits(norm(x)[3], norm(x[3]))


def test_fuse_clamp():
    out = torch.tensor([0.75, -0.5, 0.25, 0.5], requires_grad=True)
    x = torch.tensor([0.5, 0.25, 0.25, 0.5])
    fused = phc.FuseClamp()(out, x)
    assert fused.tolist() == [1.0, 0.0, 0.5, 1.0]
    (grad,) = torch.autograd.grad(fused.sum(), out)
    assert grad.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert phc.FuseClamp(bounded=False)(out, x).tolist() == [1.25, -0.25, 0.5, 1.0]
    bounded = phc.PSpikeBlock(phc.PSpikeSSM(4, modes=2), residual=phc.FuseClamp()).eval()
    loose = phc.PSpikeBlock(phc.PSpikeSSM(4, modes=2), residual=True).eval()
    loose.load_state_dict(bounded.state_dict())
    x = 3.0 * torch.randn(7, 2, 4)
    with torch.no_grad():
        assert_same_bits(bounded.scan(x)[0], loose.scan(x)[0].clamp(0.0, 1.0))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("discretization", KINDS)
def test_a_step_of_training_reaches_every_parameter(discretization, bidirectional):
    made = stack(discretization, trained=False, bidirectional=bidirectional).train()
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    x, labels = sequence(40, 16, torch.float32), torch.arange(16) % 10
    first = None
    for _ in range(12):
        start = made.initial_state(16, generator=generator)
        loss = torch.nn.functional.cross_entropy(made(x, start)[0], labels)
        optimizer.zero_grad()
        loss.backward()
        first = loss.detach() if first is None else first
        assert all(bool((p.grad != 0).any()) for p in made.parameters())
        optimizer.step()
    assert float(loss.detach()) < float(first)


@torch.no_grad()
def test_draws_are_those_of_the_state():
    made, x = stack(), sequence(dtype=torch.float32)
    assert_same_bits(made(x)[0], made(x)[0])
    starts = [
        made.initial_state(3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    one, same, other = (made(x, start)[0] for start in starts)
    assert_same_bits(one, same)
    assert not torch.equal(one, other)
    first, second = (block.neuron.first_draws for block in made.blocks)
    assert not torch.equal(first, second)


def test_two_sided_blocks_take_whole_sequences():
    made, x = stack(bidirectional=True), sequence(dtype=torch.float32)
    p = torch.rand(20, 3, 6)
    changed = p.clone()
    changed[-1] = 1.0 - p[-1].round()  # the other spike
    with torch.no_grad():
        early, other = (made.blocks[0].neuron.scan(v)[1][0] for v in (p, changed))
        assert made(x)[0].shape == (3, 10)
    assert not torch.equal(early, other)  # what comes last acts on the first step
    with pytest.raises(ValueError, match="bidirectional: got a single step"):
        made.step(x[0])
    _, state = made(x)
    with pytest.raises(ValueError, match="bidirectional: got a state that is not at rest"):
        made(x, state)


def test_refuses_what_it_cannot_take():
    made = stack()
    x = sequence(dtype=torch.float32)
    with pytest.raises(RuntimeError, match="step: the norm is in training"):
        stack().train().step(x[0])
    with pytest.raises(ValueError, match="x_seq: got no steps, expected at least one"):
        made(x[:0])
    with pytest.raises(ValueError, match="x_seq: got shape"):
        made(x[..., :2])
    with pytest.raises(ValueError, match="x_t: got shape"):
        made.step(x)
    with pytest.raises(ValueError, match=r"x_seq: .* NaN or Inf"):
        made(x * torch.nan)
    with pytest.raises(TypeError, match="state: got str"):
        made(x, "nonsense")
    with pytest.raises(TypeError, match="neuron: got LIF, expected a PSpikeSSM"):
        phc.PSpikeBlock(phc.LIF(3))
    with pytest.raises(ValueError, match="blocks: got 0, expected a positive integer"):
        phc.PSpikeStack(3, 10, blocks=0)
