"""`StackedSNN`: the published stack, whole and step by step."""

import copy
import json
import math

import pytest
import torch

import phc_snn as phc
from phc_snn.named import neuron_class
from phc_snn.state import tensors
from tests.tolerances import assert_near, assert_same_bits

NEURONS = ("silif", "csilif", "normalizedlif", "cadlif", "lif", "alif")
# Layer sizes, in and out; the neuron; parameters as published, or as the published code counts.
PUBLISHED = {
    "SiLIF SSC": (140, 512, 35, "silif", 359_017),
    "SiLIF GSC": (40, 512, 35, "silif", 307_817),
    "C-SiLIF SHD 128": (140, 128, 20, "csilif", 38_460),
    "C-SiLIF SHD 512": (140, 512, 20, "csilif", 350_268),
}


def make(neuron="silif", seed=0, dtype=torch.float32, learned=True, **options):
    """A small stack in evaluation, whose norms have seen data and changed."""
    options = {"hidden": (12, 9), **options}
    generator = torch.Generator().manual_seed(seed)
    model = phc.StackedSNN(5, 4, neuron=neuron, generator=generator, **options).to(dtype)
    if learned:
        with torch.no_grad():
            for _ in range(3):
                model(data(dtype=dtype))
            for name, parameter in model.named_parameters():
                if "norm" in name:  # strong enough for every layer to fire
                    noise = torch.rand(parameter.shape, generator=generator)
                    parameter.mul_(4.0).add_(noise.to(dtype))
    return model.eval()


def data(steps=30, batch=6, channels=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(steps, batch, channels, generator=generator, dtype=torch.float64)
    return (2.0 * x).to(dtype)


@pytest.mark.parametrize("case", PUBLISHED)
def test_parameter_counts_of_the_papers(case):
    channels, hidden, classes, neuron, published = PUBLISHED[case]
    model = phc.StackedSNN(channels, classes, hidden=(hidden, hidden), neuron=neuron)
    assert model.count_parameters() == (published, published)
    weights = channels * hidden + hidden**2 + hidden * classes
    norms, own = 2 * (2 * hidden + classes), {"silif": 5, "csilif": 4}[neuron]
    assert published == weights + norms + 2 * hidden * own + classes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.usefixtures("no_grad")
class TestBits:
    def test_step_is_forward(self, neuron, dtype):
        model, x = make(neuron, dtype=dtype), data(dtype=dtype)
        whole, state = model(x), None
        for x_t in x:
            logits, state = model.step(x_t, state)
        assert_same_bits(logits, whole.logits)
        for got, wanted in zip(tensors(state), tensors(whole.state), strict=True):
            assert_same_bits(got, wanted)
        assert state.steps.tolist() == [30] * 6
        assert bool(whole.spikes[-1].any())

    def test_chunks_are_the_whole(self, neuron, dtype):
        model, x, state = make(neuron, dtype=dtype), data(dtype=dtype), None
        for chunk in x.split([1, 0, 12, 17]):
            output = model(chunk, state)
            state = output.state
        assert_same_bits(output.logits, model(x).logits)

    def test_a_sample_alone_and_padded(self, neuron, dtype):
        model, x = make(neuron, dtype=dtype), data(dtype=dtype)
        lengths = torch.tensor([30, 11, 0, 1, 29, 17])
        together = model(x, lengths=lengths)
        for i, steps in enumerate(lengths.tolist()):
            alone = model(x[:steps, i : i + 1])
            assert_same_bits(alone.logits[0], together.logits[i])
        assert together.state.steps.tolist() == lengths.tolist()
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert_same_bits(model(x.repeat(1, 40, 1)).logits[:6], model(x).logits)
        torch.set_num_threads(1)


@pytest.mark.parametrize("neuron", ["silif", "csilif"])
def test_against_the_equations(neuron):
    """Written down with torch's own layers, in float64: training and evaluation, and the loss."""
    model = make(neuron, dtype=torch.float64, dropout=0.0)
    x, labels = data(dtype=torch.float64), torch.tensor([0, 3, 2, 1, 1, 0])
    for training in (True, False):
        given = copy.deepcopy(model).train(training)
        oracle = copy.deepcopy(given)
        hidden = x
        for current, cell in zip(oracle.currents, oracle.neurons, strict=True):
            drive = hidden @ current.linear.weight.T
            hidden = cell.scan(current.norm(drive.flatten(0, 1)).reshape(drive.shape))[0]
        last = oracle.readout
        drive = hidden @ last.current.linear.weight.T
        drive = last.current.norm(drive.flatten(0, 1)).reshape(drive.shape)
        decay = last.raw_membrane_decay.clamp(math.exp(-1 / 5), math.exp(-1 / 25))
        u = total = torch.zeros(6, 4, dtype=torch.float64)
        for current in drive:
            u = decay * u + (1 - decay) * current
            total = total + torch.softmax(u, -1)
        output = given(x)
        assert_near(output.logits, total)
        wanted = torch.nn.functional.cross_entropy(total, labels)
        loss = given.loss(output, labels)
        assert_near(loss, wanted)
        loss.backward()
        wanted.backward()
        for (name, one), other in zip(given.named_parameters(), oracle.parameters(), strict=True):
            assert one.grad is not None, name
            assert_near(one.grad, other.grad, 1e-10)
        for one, other in zip(given.buffers(), oracle.buffers(), strict=True):
            assert_near(one.double(), other.double())


def test_norms_in_training_take_the_samples_own_steps():
    lengths = torch.tensor([30, 11, 0, 1, 29, 17])
    x, noise = data(dtype=torch.float64), data(dtype=torch.float64)
    padding = torch.arange(30)[:, None] >= lengths
    noise = torch.where(padding[..., None], 100.0 * noise, x)
    options = {"dtype": torch.float64, "dropout": 0.0, "learned": False, "rate_weight": 0.5}
    results = []
    for given in (x, noise):
        model = make(**options).train()
        output = model(given, lengths=lengths)
        loss = model.loss(output, torch.tensor([0, 3, 2, 1, 1, 0]))
        loss.backward()
        gradients = [p.grad for p in model.parameters()]
        results.append([output.logits, loss, *model.buffers(), *gradients])
    for one, other in zip(*results, strict=True):
        assert_near(one.double(), other.double())
    mean = x[~padding] @ make(**options).currents[0].linear.weight.T
    assert_near(model.currents[0].norm.running_mean, 0.05 * mean.mean(0))


@torch.no_grad()
def test_rates_outside_the_range_cost():
    model = make(rate_weight=0.5, rate_range=(0.1, 0.2), dtype=torch.float64)
    output, labels = model(data(dtype=torch.float64)), torch.zeros(6, dtype=torch.long)
    expected = float(torch.nn.functional.cross_entropy(output.logits, labels))
    rates = [r for s in output.spikes for r in s.mean((0, 1)).tolist()]
    assert any(r < 0.1 for r in rates)
    assert any(r > 0.2 for r in rates)
    expected += 0.5 * sum(max(0.1 - r, 0.0) + max(r - 0.2, 0.0) for r in rates)
    assert float(model.loss(output, labels)) == pytest.approx(expected, rel=1e-12)


def test_dropout_acts_in_training_alone():
    model, x = make(dropout=0.5, learned=False), data()
    assert_same_bits(model(x).logits, model(x).logits)
    model.train()
    assert not torch.equal(model(x).logits, model(x).logits)


@pytest.mark.parametrize("neuron", ["silif", "csilif"])
def test_learns_a_simple_task(neuron):
    model = make(neuron, hidden=(24,), learned=False).train()
    x = data(25, 40)
    labels = torch.arange(40) % 4
    x[..., 0] += 2.0 * (labels % 2) - 1.0
    x[..., 1] += 2.0 * (labels // 2) - 1.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(model(x), labels).backward()
        optimizer.step()
    with torch.no_grad():
        decided = model.eval()(x).logits.argmax(-1)
    assert float((decided == labels).double().mean()) >= 0.9


def test_a_generator_makes_it_repeatable():
    for one, other in zip(make("csilif").parameters(), make("csilif").parameters(), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_config_and_back():
    model = make(time_step=0.01, a=torch.tensor(0.5), rate_weight=0.5, dropout=0.3)
    config = json.loads(json.dumps(model.config()))
    again = phc.StackedSNN.from_config(config)
    assert again.config() == config
    again.load_state_dict(model.state_dict())
    assert_same_bits(again.eval()(data()).logits, model(data()).logits)
    assert again.neurons[0].a.tolist() == [0.5] * 12
    assert (again.rate_weight, again.dropout.p) == (0.5, 0.3)
    with pytest.raises(ValueError, match=r"unknown entries \['x'\], missing entries \['neuron'\]"):
        phc.StackedSNN.from_config({**{k: v for k, v in config.items() if k != "neuron"}, "x": 1})


def test_a_callable_makes_the_neurons():
    model = make(lambda features: phc.LIF(features, membrane_decay=0.5))
    assert [type(n) for n in model.neurons] == [phc.LIF, phc.LIF]
    assert model.hidden == (12, 9)
    with pytest.raises(ValueError, match="neuron: got <function"):
        model.config()
    with pytest.raises(ValueError, match=r"options: got .*Tanh.* names that JSON has"):
        make(spike_grad=phc.RectifiedTanh()).config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": ()}, r"hidden: got \(\), expected the neurons of each layer"),
        ({"hidden": 8}, r"hidden: got 8, expected the neurons of each layer"),
        ({"hidden": (8, 0)}, "hidden: got 0, expected a positive integer"),
        ({"dropout": 1.0}, r"dropout: got 1\.0, expected 0 <= dropout < 1"),
        ({"rate_range": (0.5, 0.1)}, r"rate_range: got \(0\.5, 0\.1\)"),
        ({"neuron": "silf"}, "neuron: got 'silf', expected one of .*'silif'"),
        ({"neuron": "neuron"}, "neuron: got 'neuron', expected one of "),
        ({"longest": 5.0}, r"options: got \['longest'\], expected arguments of SiLIF"),
        ({"neuron": phc.LIF, "threshold": 2.0}, r"options: got \['threshold'\] for a callable"),
        ({"neuron": lambda n: phc.LIF(n + 1)}, "neuron: made 13 neurons, expected .* of 12"),
        ({"neuron": torch.nn.Identity}, r"neuron: made Identity\(\), expected"),
    ],
)
def test_refuses_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_refuses_bad_input():
    model = make()
    with pytest.raises(RuntimeError, match=r"step: the model is in training.* call eval\(\)"):
        make().train().step(data()[0])
    with pytest.raises(ValueError, match=r"x_t: got shape .* for a whole sequence"):
        model.step(data())
    broken = data()
    broken[3, 2, 1] = torch.nan
    with pytest.raises(ValueError, match="x_seq: 1 of 900 values are NaN or Inf"):
        model(broken)
    with pytest.raises(ValueError, match="lengths: got 31 to 31"):
        model(data(), lengths=torch.full((6,), 31))
    _, state = model.step(data()[0])
    with pytest.raises(TypeError, match=r"state\.neurons\[0\]\.adaptation: got torch\.float32"):
        model.step(data(dtype=torch.float64)[0], state)
    with pytest.raises(TypeError, match=r"state: got tuple, expected the StackedSNNState"):
        model.step(data()[0], tuple(state))


@torch.no_grad()
def test_random_states():
    model, x = make(), data()
    drawn, again = (
        model.random_state(6, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    for one, other in zip(tensors(drawn), tensors(again), strict=True):
        assert_same_bits(one, other)
    for part in (*tensors(drawn.neurons), drawn.membrane):
        assert 0.0 <= float(part.min()) < 0.5 < float(part.max()) < 1.0
    assert not bool(drawn.total.any())
    assert not torch.equal(model(x, drawn).logits, model(x).logits)
    with pytest.raises(ValueError, match="neuron: LIF has no random_state"):
        make("lif").random_state(6)


@torch.no_grad()
def test_nothing_in_nothing_out():
    assert not bool(make()(data(0)).logits.any())
    assert make()(data(5, 0)).logits.shape == (0, 4)


def test_names_whatever_their_case():
    assert neuron_class("SiLIF") is neuron_class("silif") is phc.SiLIF
    assert neuron_class("LIF") is phc.LIF
    with pytest.raises(ValueError, match=r"expected one of \('alif', 'lif'"):
        neuron_class("silifstate")
