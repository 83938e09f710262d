"""Networks that decide together: each as it is alone, and the mean of what they say."""

import pytest
import torch

import phc_snn as phc
from phc_snn.synapses import RSTDP
from phc_snn.training.checkpoint import load_classifier, load_model, save_model
from phc_snn.training.lightning import fit_loader
from phc_snn.training.optimization import Optimization
from tests.training.test_lightning import one


def network(seed, neurons=8, **options):
    generator = torch.Generator().manual_seed(seed)
    return phc.PHCSSM(3, 4, neurons=neurons, generator=generator, **options)


def ensemble():
    return phc.Ensemble([network(0), network(1, 6, readout="spike"), network(2, neuron="lif")])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 12, 3, generator=generator)
    return x, None, torch.arange(12) % 4


def test_it_decides_by_the_mean_of_the_probabilities(batch):
    found = ensemble()(batch[0])
    alone = [network(0)(batch[0]), network(1, 6, readout="spike")(batch[0])]
    for output, expected in zip(found.members, alone, strict=False):
        assert torch.equal(output.logits, expected.logits)
    mean = torch.stack([o.logits.softmax(-1) for o in found.members]).mean(0)
    torch.testing.assert_close(found.logits.exp(), mean)
    assert not torch.equal(found.logits.argmax(-1), found.members[0].logits.argmax(-1))


def test_one_network_decides_as_it_does_alone(batch):
    found = phc.Ensemble([network(0)])(batch[0]).logits
    torch.testing.assert_close(found, network(0)(batch[0]).logits.log_softmax(-1))


@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Exact(), phc.Jacobi(4)])
def test_a_sample_is_decided_alike_in_any_batch_whole_and_in_chunks(solver):
    model = ensemble()
    x = torch.randn(30, 37, 3, generator=torch.Generator().manual_seed(1))
    whole = model(x, solver=solver).logits
    for count in (1, 2, 7, 16, 33):
        assert torch.equal(model(x[:, :count], solver=solver).logits, whole[:count])
    if isinstance(solver, phc.Jacobi):
        return  # a cut changes what its sweeps know
    first = model(x[:11], solver=solver)
    rest = model(x[11:], first.state, solver=solver)
    assert torch.equal(rest.logits, whole)


def test_step_by_step_it_has_the_bits_of_the_sequence(batch):
    model = ensemble()
    state = None
    for x_t in batch[0].unbind(0):
        logits, state = model.step(x_t, state)
    assert torch.equal(logits, model(batch[0], solver=phc.Sequential()).logits)


@pytest.mark.parametrize("rstdp", [None, RSTDP()])
def test_each_is_trained_as_it_is_alone(batch, rstdp):
    """Clipping and plasticity are each network's own, and so its weights have the same bits."""
    given = Optimization(0.02, clip=0.3)
    together = phc.Ensemble([network(0), network(1, 6)])
    fit_loader(together, one(batch), given, epochs=4, rstdp=rstdp)
    for member, alone in zip(together.members, (network(0), network(1, 6)), strict=True):
        before = alone.decoder.weight.detach().clone()
        fit_loader(alone, one(batch), given, epochs=4, rstdp=rstdp)
        assert not torch.equal(alone.decoder.weight, before)
        for a, b in zip(member.parameters(), alone.parameters(), strict=True):
            assert torch.equal(a, b)


def test_parameters_are_those_of_all():
    model = ensemble()
    counts = [member.count_parameters() for member in model.members]
    assert model.count_parameters().trainable == sum(c.trainable for c in counts)
    assert model.count_parameters().effective == sum(c.effective for c in counts)


def test_it_is_saved_and_read(batch, tmp_path):
    model = ensemble()
    save_model(model, tmp_path)
    found = load_classifier(tmp_path)
    assert torch.equal(found(batch[0]).logits, model(batch[0]).logits)
    with pytest.raises(ValueError, match="holds an ensemble of 3 networks, expected one network"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ([], ValueError, "members: got none"),
        ([torch.nn.Linear(3, 4)], TypeError, "members: got a Linear, expected PHCSSMs"),
        (
            [network(0), phc.PHCSSM(2, 4)],
            ValueError,
            r"of \[\(3, 4\), \(2, 4\)\], expected the same",
        ),
    ],
)
def test_what_is_no_ensemble_is_refused(members, error, message):
    with pytest.raises(error, match=message):
        phc.Ensemble(members)


def test_a_state_of_another_ensemble_is_refused(batch):
    state = phc.Ensemble([network(0)]).initial_state(12)
    with pytest.raises(ValueError, match="state: got that of 1 members, expected 3"):
        ensemble()(batch[0], state)
