"""`PHCSSM`: encoder, readout, loss, parameter counts and streaming."""

import math

import pytest
import torch

import phc_snn as phc
from phc_snn.state import tensors
from tests.builders import assert_same_solution
from tests.classifiers import data, make
from tests.tolerances import TOLERANCE, assert_near, assert_same_bits

# Chiang 2026, Table 5: name, channels, neurons, classes, parameters as published.
PUBLISHED = [
    ("SCP1", 6, 64, 2, 9_421),
    ("SCP2", 7, 64, 2, 9_485),
    ("Heartbeat", 61, 32, 2, 4_422),
    ("Ethanol", 3, 64, 4, 9_281),
    ("MotorImagery", 64, 16, 2, 1_748),
    ("EigenWorms", 6, 32, 5, 2_701),
]


@pytest.mark.parametrize("topology", ["feedforward", "bidirectional"])
@pytest.mark.parametrize(("name", "channels", "neurons", "classes", "published"), PUBLISHED)
def test_parameter_counts_of_the_paper(name, channels, neurons, classes, published, topology):
    model = phc.PHCSSM(channels, classes, neurons=neurons, topology=topology)
    trainable, effective = model.count_parameters()
    assert trainable + neurons**2 == published
    assert trainable == sum(p.numel() for p in model.parameters())
    masked = neurons**2 - int(model.topology.mask.sum())
    assert effective == trainable - masked
    r = math.floor(0.8 * neurons / 2)
    formula = channels * neurons + neurons**2 + 12 * neurons + r + (r + 1) * classes
    assert trainable == formula


@pytest.mark.usefixtures("no_grad")
class TestEncoder:
    def test_equation(self):
        """LayerNorm(W x + b) over all neurons, then the mask."""
        encoder, x = make().double().encoder, data(dtype=torch.float64)
        encoder.bias.copy_(torch.randn(16))
        encoder.norm.weight.copy_(torch.rand(16) + 0.5)
        encoder.norm.bias.copy_(torch.randn(16))
        projected = x @ encoder.weight.T + encoder.bias
        centred = projected - projected.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + encoder.norm.eps).sqrt()
        expected = (centred / scale * encoder.norm.weight + encoder.norm.bias) * encoder.inputs
        assert_near(encoder(x), expected)

    def test_reaches_the_excitatory_neurons_of_the_first_region_only(self):
        model = make()
        encoded = model.encoder(data())
        assert not bool(encoded[..., ~model.topology.inputs].any())
        assert bool(encoded[..., model.topology.inputs].any())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_bits_do_not_depend_on_batch_and_sequence(self, dtype):
        for neurons in (16, 30, 64):
            encoder, x = make(neurons=neurons).to(dtype).encoder, data(dtype=dtype)
            whole = encoder(x)
            assert_same_bits(torch.stack([encoder(x_t) for x_t in x]), whole)
            assert_same_bits(encoder(x[:, 1:2]), whole[:, 1:2])
            assert_same_bits(encoder(x[3, 2]), whole[3, 2])


@pytest.mark.usefixtures("no_grad")
class TestReadout:
    @pytest.mark.parametrize("readout", ["voltage", "spike"])
    def test_equation(self, readout):
        """W_dec RMSNorm(mean over time) + b_dec, of the excitatory neurons of the last region."""
        model, x = make(readout=readout).double(), data(dtype=torch.float64)
        model.norm.weight.copy_(torch.rand_like(model.norm.weight) + 0.5)
        output = model(x)
        values = output.solution.voltage if readout == "voltage" else output.solution.spikes
        mean = values.mean(0)[:, model.topology.readout]
        root = (mean.square().mean(-1, keepdim=True) + model.norm.eps).sqrt()
        normed = mean / root * model.norm.weight
        assert_near(output.logits, normed @ model.decoder.weight.T + model.decoder.bias)
        assert output.logits.shape == (4, 3)

    def test_the_two_differ(self):
        voltage, spike = make(), make(readout="spike")
        assert not torch.equal(voltage(data()).logits, spike(data()).logits)

    def test_logits_of_an_empty_sequence_are_finite(self):
        assert bool(torch.isfinite(make()(data(0)).logits).all())


def test_loss_against_the_equation():
    """Eq. 19 written out: label smoothing, then the rate and voltage terms of each region."""
    model = make(
        label_smoothing=0.1, rate_target=0.15, rate_weight=0.7, voltage_weight=0.02
    ).double()
    labels = torch.tensor([0, 2, 1, 1])
    output = model(data(dtype=torch.float64))

    expected = 0.0
    for logits, label in zip(output.logits.tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(v) for v in logits))
        surprise = [log_sum - v for v in logits]
        expected += (0.9 * surprise[label] + 0.1 * sum(surprise) / 3) / 4
    spikes, voltage = output.solution.spikes.detach(), output.solution.voltage.detach()
    for part in (slice(0, 8), slice(8, 16)):  # the two regions
        rate = spikes[:, :, part].sum() / spikes[:, :, part].numel()
        expected += 0.7 * float((rate - 0.15) ** 2)
        square = (voltage[:, :, part] ** 2).sum() / voltage[:, :, part].numel()
        expected += 0.02 * float(square)
    assert float(model.loss(output, labels).detach()) == pytest.approx(expected, rel=1e-12)


def test_loss_reaches_every_parameter():
    model = make()
    for solver in (phc.Jacobi(4), phc.Exact(), phc.Sequential()):
        model.zero_grad()
        model.loss(model(data(60), solver=solver), torch.tensor([0, 1, 2, 0])).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name
            assert bool(parameter.grad.any()), name


def test_learns_a_simple_task():
    """The sign of the first channel; a network that cannot learn this cannot learn anything."""
    model = make(num_classes=2)
    x = data(25, 40)
    labels = torch.arange(40) % 2
    x[..., 0] += 2.0 * labels.float() - 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(model(x), labels).backward()
        optimizer.step()
    for solver in (phc.Jacobi(4), phc.Sequential()):
        decided = model(x, solver=solver).logits.argmax(-1)
        assert float((decided == labels).double().mean()) >= 0.9


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("readout", ["voltage", "spike"])
class TestStreaming:
    def test_step_is_forward(self, dtype, readout):
        model, x = make(readout=readout).to(dtype), data(dtype=dtype)
        whole, state = model(x, solver=phc.Sequential()), None
        for x_t in x:
            logits, state = model.step(x_t, state)
        assert_near(logits, whole.logits, TOLERANCE[dtype])
        for got, wanted in zip(tensors(state), tensors(whole.state), strict=True):
            assert_near(got.double(), wanted.double(), TOLERANCE[dtype])
        assert state.steps.tolist() == [30] * 4

    @pytest.mark.parametrize("solver", [phc.Sequential(), phc.Exact()], ids=["Sequential", "Exact"])
    def test_chunks_are_the_whole(self, dtype, readout, solver):
        model, x = make(readout=readout).to(dtype), data(dtype=dtype)
        whole = model(x, solver=phc.Sequential())
        state, voltages = None, []
        for chunk in x.split([1, 0, 12, 17]):
            output = model(chunk, state, solver=solver)
            state = output.state
            voltages.append(output.solution.voltage)
        assert_near(output.logits, whole.logits, TOLERANCE[dtype])
        assert_near(torch.cat(voltages), whole.solution.voltage, TOLERANCE[dtype])
        assert_near(state.total, whole.state.total, TOLERANCE[dtype])

    def test_a_sample_alone_is_the_sample_in_its_batch(self, dtype, readout):
        model, x = make(readout=readout).to(dtype), data(dtype=dtype)
        for solver in (phc.Jacobi(4), phc.Exact()):
            together = model(x, solver=solver)
            alone = model(x[:, 1:2], solver=solver)
            assert_near(alone.logits, together.logits[1:2], TOLERANCE[dtype])
            assert_same_bits(alone.solution.spikes, together.solution.spikes[:, 1:2])


@torch.no_grad()
def test_exact_has_the_bits_of_sequential():
    model, x = make(), data(60)
    exact, truth = model(x, solver=phc.Exact()), model(x, solver=phc.Sequential())
    assert_same_solution(exact.solution, truth.solution)
    assert_same_bits(exact.logits, truth.logits)
