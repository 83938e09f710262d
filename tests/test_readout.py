"""Sequences of different lengths in one batch: padding changes nothing, in bits where promised."""

import pytest
import torch
from torch import nn

import phc_snn as phc
from phc_snn.padding import own_steps
from phc_snn.readout import add_over_time, mean_of_windows, mean_over_steps
from phc_snn.state import tensors
from tests.classifiers import data, make
from tests.tolerances import GRADIENT_TOLERANCE, assert_near, assert_same_bits

LENGTHS = torch.tensor([30, 1, 17, 0, 23])
SOLVERS = [phc.Sequential(), phc.Jacobi(3), phc.Jacobi(2, window=7), phc.Exact()]
LABELS = torch.tensor([0, 1, 2, 0, 1])
WINDOWS = {"windows": 3, "window_steps": 11}


def padded(dtype=torch.float32, steps=40, filling=0.0):
    """(x, the samples alone); what stands behind a sample's end is ``filling``, or noise."""
    x = data(steps, len(LENGTHS), dtype=dtype)
    alone = [x[:length, i : i + 1].clone() for i, length in enumerate(LENGTHS.tolist())]
    noise = 100.0 * torch.randn(x.shape, dtype=dtype)
    own = own_steps(LENGTHS, steps)[..., None]
    return torch.where(own, x, noise if filling is None else filling), alone


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
class TestLogits:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("readout", ["voltage", "spike"])
    @pytest.mark.parametrize("filling", [0.0, None], ids=["zeros", "noise"])
    def test_of_a_padded_batch_have_the_bits_of_the_samples_alone(
        self, solver, dtype, readout, filling
    ):
        model = make(readout=readout).to(dtype)
        x, alone = padded(dtype, filling=filling)
        together = model(x, solver=solver, lengths=LENGTHS).logits
        for i, sample in enumerate(alone):
            assert_same_bits(together[i : i + 1], model(sample, solver=solver).logits)

    def test_do_not_depend_on_how_far_the_batch_is_padded(self, solver):
        model = make()
        x, _ = padded(steps=31)
        longer = torch.cat([x, torch.ones(69, *x.shape[1:])])
        assert_same_bits(
            model(longer, solver=solver, lengths=LENGTHS).logits,
            model(x, solver=solver, lengths=LENGTHS).logits,
        )

    def test_lengths_of_all_steps_are_no_lengths(self, solver):
        model, x = make(), data(30, 5)
        full = model(x, solver=solver, lengths=torch.full((5,), 30))
        plain = model(x, solver=solver)
        assert_same_bits(full.logits, plain.logits)
        assert_near(model.loss(full, LABELS), model.loss(plain, LABELS))


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("readout", ["voltage", "spike"])
@pytest.mark.parametrize("options", [{}, WINDOWS], ids=["whole", "windows"])
class TestStreaming:
    def test_step_forward_and_chunks_have_the_same_bits(self, dtype, readout, options):
        model, x = make(readout=readout, **options).to(dtype), data(61, dtype=dtype)
        whole, state = model(x, solver=phc.Sequential()), None
        for x_t in x:
            logits, state = model.step(x_t, state)
        assert_same_bits(logits, whole.logits)
        for got, wanted in zip(tensors(state), tensors(whole.state), strict=True):
            assert_same_bits(got, wanted)
        for solver in (phc.Sequential(), phc.Exact()):
            state = None
            for chunk in x.split([1, 0, 12, 48]):
                output = model(chunk, state, solver=solver)
                state = output.state
            assert_same_bits(output.logits, whole.logits)
            assert_same_bits(output.state.total, whole.state.total)

    def test_chunks_of_a_padded_batch(self, dtype, readout, options):
        model = make(readout=readout, **options).to(dtype)
        x, _ = padded(dtype)
        whole, state, begin = model(x, solver=phc.Sequential(), lengths=LENGTHS), None, 0
        for chunk in x.split([9, 1, 0, 30]):
            left = (LENGTHS - begin).clamp(0, len(chunk))
            output = model(chunk, state, solver=phc.Sequential(), lengths=left)
            state, begin = output.state, begin + len(chunk)
        assert_same_bits(output.logits, whole.logits)
        assert state.steps.tolist() == LENGTHS.tolist()


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("neurons", [5, 16, 64, 200])
def test_logits_do_not_depend_on_the_batch_in_bits(neurons):
    model, x = make(neurons=neurons), data(12, 33)
    together = model(x).logits
    for i in (0, 7, 32):
        assert_same_bits(model(x[:, i : i + 1]).logits, together[i : i + 1])


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


class TestWindows:
    def test_each_window_is_averaged_for_itself(self):
        model = make(**WINDOWS).double()
        x = data(40, dtype=torch.float64)
        output = model(x)
        read = output.solution.voltage[..., model.topology.readout]
        means = [part.mean(0) for part in (read[:11], read[11:22], read[22:])]
        expected = model.decoder(model.norm(torch.cat(means, -1)))
        assert_near(output.logits, expected)

    def test_one_that_has_not_begun_is_zero(self):
        model = make(**WINDOWS).double()
        found = mean_of_windows(model(data(13, dtype=torch.float64)).state.total,
                                torch.full((4,), 13), 3, 11)  # fmt: skip
        r = model.decoder.in_features // 3
        assert (found[:, : 2 * r] != 0).any(1).all()
        assert (found[:, 2 * r :] == 0).all()

    def test_they_can_tell_when_something_was(self):
        """A pulse early or late: the mean over all is the same, the windows are not."""
        x = torch.zeros(60, 2, 5)
        x[5:15, 0], x[35:45, 1] = 2.0, 2.0
        with torch.no_grad():
            early, late = make(windows=2, window_steps=30)(x).state.total
        r = len(early) // 2
        assert (early[:r] - late[r:]).abs().max() < (early[:r] - late[:r]).abs().max()

    def test_gradients_are_those_of_the_formula(self):
        model = make(**WINDOWS).double()
        x, labels = data(40, dtype=torch.float64), torch.arange(4) % 3
        output = model(x)
        found = gradients(model, nn.functional.cross_entropy(output.logits, labels))
        read = model(x).solution.voltage[..., model.topology.readout]
        means = [part.mean(0) for part in (read[:11], read[11:22], read[22:])]
        logits = model.decoder(model.norm(torch.cat(means, -1)))
        expected = gradients(model, nn.functional.cross_entropy(logits, labels))
        for name, value in found.items():
            assert_near(value, expected[name])

    def test_a_model_is_built_again(self):
        model = make(**WINDOWS, encoder_norm=False)
        again = phc.PHCSSM.from_config(model.config())
        again.load_state_dict(model.state_dict())
        x = data(30)
        assert_same_bits(again(x).logits, model(x).logits)

    def test_their_length_is_needed(self):
        with pytest.raises(ValueError, match="window_steps: got None for 4 windows, expected the"):
            make(windows=4)
        for options in ({"windows": 0}, {"windows": 2, "window_steps": 0}):
            with pytest.raises(ValueError, match=r"windows|window_steps: got 0, expected a positi"):
                make(**options)


def test_without_its_norm_the_encoder_passes_on_how_strong_the_input_is():
    x = data(30)
    for norm in (True, False):
        model = make(encoder_norm=norm)
        weak, strong = model.encoder(x), model.encoder(3 * x)
        assert torch.allclose(3 * weak, strong, rtol=1e-4) is not norm


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, WINDOWS], ids=["whole", "windows"])
def test_loss_and_gradients_of_a_padded_sample_are_those_of_the_sample(solver, dtype, options):
    model = make(voltage_weight=0.1, **options).to(dtype)
    x, alone = padded(dtype)
    for i in (0, 2, 4):
        length, label = LENGTHS[i : i + 1], LABELS[i : i + 1]
        masked = model.loss(model(x[:, i : i + 1], solver=solver, lengths=length), label)
        truth = model.loss(model(alone[i], solver=solver), label)
        assert_near(masked, truth)
        expected = gradients(model, truth)
        for name, found in gradients(model, masked).items():
            assert_near(found, expected[name], GRADIENT_TOLERANCE[dtype])
        ignored = model.loss(model(x[:, i : i + 1], solver=solver), label)
        assert float((ignored - truth).detach().abs()) > 1e-4, "padding would not have mattered"


def test_loss_of_a_padded_batch_is_that_of_its_steps():
    """Against the equation: the rate and voltage terms over all steps that are some sample's."""
    options = {"label_smoothing": 0.0, "rate_weight": 0.7, "voltage_weight": 0.02}
    model = make(**options).double()
    x, alone = padded(torch.float64)
    output = model(x, solver=phc.Sequential(), lengths=LENGTHS)
    expected = torch.nn.functional.cross_entropy(output.logits, LABELS)
    runs = [model(sample, solver=phc.Sequential()).solution for sample in alone]
    spikes = torch.cat([run.spikes[:, 0] for run in runs])
    voltage = torch.cat([run.voltage[:, 0] for run in runs])
    for part in (slice(0, 8), slice(8, 16)):  # the two regions
        expected = expected + 0.7 * (spikes[:, part].mean() - model.rate_target) ** 2
        expected = expected + 0.02 * voltage[:, part].square().mean()
    assert_near(model.loss(output, LABELS), expected)


def test_padding_gets_no_gradient():
    model = make()
    x, _ = padded()
    x.requires_grad_()
    model.loss(model(x, lengths=LENGTHS), LABELS).backward()
    own = own_steps(LENGTHS, len(x))
    assert not bool(x.grad[~own].any())
    assert bool(x.grad[own].any())


def test_a_padded_batch_of_nothing_has_a_loss():
    model = make()
    loss = model.loss(model(data(4, 2), lengths=torch.zeros(2).long()), torch.tensor([0, 1]))
    assert bool(torch.isfinite(loss))


@pytest.mark.parametrize(
    ("lengths", "kind", "message"),
    [
        ([3, 4], TypeError, "lengths: got list, expected a tensor of numbers of steps"),
        (torch.tensor([3.0, 4.0]), TypeError, r"lengths: got torch\.float32, .*integers"),
        (torch.tensor([True, True]), TypeError, r"lengths: got torch\.bool"),
        (torch.tensor([3]), ValueError, r"lengths: got shape \(1,\), expected \(2,\)"),
        (torch.tensor([[3, 4]]), ValueError, r"lengths: got shape \(1, 2\).*transpose"),
        (torch.tensor([3, 7]), ValueError, "lengths: got 3 to 7, expected 0 to 6"),
        (torch.tensor([-1, 3]), ValueError, "lengths: got -1 to 3, expected 0 to 6"),
        (torch.zeros(2, device="meta").int(), ValueError, "lengths: is on meta, the input on cpu"),
    ],
)
def test_lengths_that_do_not_fit(lengths, kind, message):
    with pytest.raises(kind, match=message):
        make()(data(6, 2), lengths=lengths)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_lengths_of_any_integer_dtype(dtype):
    model = make()
    x, _ = padded()
    output = model(x, lengths=LENGTHS.to(dtype))
    assert_same_bits(output.logits, model(x, lengths=LENGTHS).logits)
    assert output.state.steps.dtype == torch.int64


@torch.no_grad()
def test_a_tolerance_looks_at_the_padding():
    """As the docstring says: the one solver option for which padding is not without effect."""
    model = make()
    x, _ = padded(filling=None)
    solver = phc.Jacobi(8, tolerance=0.01)
    quiet = model(padded()[0], solver=solver, lengths=LENGTHS).solution.sweeps
    noisy = model(x, solver=solver, lengths=LENGTHS).solution.sweeps
    assert quiet.tolist() != noisy.tolist()


class TestAddOverTime:
    def test_order_is_that_of_the_steps(self):
        values = 10.0 ** torch.randint(-6, 6, (50, 3, 4)).float()
        total = torch.ones(3, 4)
        expected = total
        for value in values:
            expected = expected + value
        assert_same_bits(add_over_time(total, values, None), expected)
        assert not torch.equal(total + values.sum(0), expected), "any order would have done"

    def test_gradients(self):
        values = torch.randn(5, 3, 2, dtype=torch.float64, requires_grad=True)
        total = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
        for lengths in (None, torch.tensor([5, 0, 3])):
            inputs = (total, values)
            torch.autograd.gradcheck(lambda t, v, n=lengths: add_over_time(t, v, n), inputs)
            torch.autograd.gradgradcheck(lambda t, v, n=lengths: add_over_time(t, v, n), inputs)

    def test_padding_need_not_be_finite(self):
        values = torch.tensor([[[1.0]], [[float("nan")]]])
        one = torch.tensor([1])
        assert add_over_time(torch.zeros(1, 1), values, one).item() == 1.0
        assert mean_over_steps(values, one).item() == 1.0
