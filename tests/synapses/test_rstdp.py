"""`RSTDP`: against the printed equations, and what holds whatever the spikes are."""

import math
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import phc_snn as phc
from benchmarks.memory import LiveTensors
from tests.tolerances import TOLERANCE, assert_near, assert_same_bits

COINCIDENCE = pytest.mark.parametrize("coincidence", ["ltd", "none"])
DALE = pytest.mark.parametrize("dale", ["construction", "projection", None])
LENGTHS = torch.tensor([13, 0, 29, 7, 1])


def reference(rule, spikes, lengths=None):
    """Eqs. 15-16 step by step, pair by pair: the sum before it is divided by B T, and B T."""
    steps, batch, neurons = spikes.shape
    own = [steps] * batch if lengths is None else lengths.tolist()
    total = [[0.0] * neurons for _ in range(neurons)]
    for b in range(batch):
        x_pre, x_post = [0.0] * neurons, [0.0] * neurons
        for s in spikes[: own[b], b].tolist():
            before = x_post
            x_post = [math.exp(-1 / rule.tau_minus) * x + z for x, z in zip(x_post, s, strict=True)]
            for post in range(neurons):
                counted = x_post[post]
                if rule.coincidence == "none":
                    counted = math.exp(-1 / rule.tau_minus) * before[post]
                for pre in range(neurons):
                    total[post][pre] += rule.A_plus * s[post] * x_pre[pre]
                    total[post][pre] -= rule.A_minus * counted * s[pre]
            x_pre = [math.exp(-1 / rule.tau_plus) * x + z for x, z in zip(x_pre, s, strict=True)]
    return torch.tensor(total, dtype=torch.float64), max(sum(own), 1)


def random_spikes(steps=29, batch=5, neurons=6, rate=0.2, dtype=torch.float64):
    return (torch.rand(steps, batch, neurons) < rate).to(dtype)


def assert_is_reference(rule, spikes, lengths=None, tolerance=None):
    total, count = reference(rule, spikes, lengths)
    limit = TOLERANCE[spikes.dtype] if tolerance is None else tolerance
    # The sum, not the mean: its values are of the order of 1, to which the tolerance is relative.
    assert_near(rule.change(spikes, lengths).double() * count, total, limit)


@COINCIDENCE
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (3, 2, 1), (17, 3, 5), (200, 2, 4)])
def test_is_the_printed_equations(coincidence, dtype, shape):
    spikes = random_spikes(*shape, rate=0.4, dtype=dtype)
    assert_is_reference(phc.RSTDP(coincidence=coincidence), spikes)
    other = phc.RSTDP(coincidence=coincidence, tau_plus=3.0, tau_minus=0.7, A_plus=0.3, A_minus=2.0)
    assert_is_reference(other, spikes)


@COINCIDENCE
def test_padding_is_not_counted(coincidence):
    rule = phc.RSTDP(coincidence=coincidence)
    spikes = random_spikes()
    assert_is_reference(rule, spikes, LENGTHS)
    own = torch.arange(len(spikes))[:, None] < LENGTHS
    alone = sum(
        rule.change(spikes[:length, b : b + 1]) * length for b, length in enumerate(LENGTHS)
    )
    padded = rule.change(spikes, LENGTHS)
    assert_near(padded * LENGTHS.sum(), alone)
    for filled in (0.0, 1.0, torch.nan):
        other = torch.where(own[..., None], spikes, filled)
        assert_same_bits(rule.change(other, LENGTHS), padded)
    assert_near(rule.change(spikes[:29], LENGTHS), padded)
    longer = torch.cat([spikes, random_spikes(steps=50)])
    assert_near(rule.change(longer, LENGTHS), padded)


def test_full_lengths_are_no_lengths():
    spikes, rule = random_spikes(), phc.RSTDP()
    assert_same_bits(rule.change(spikes, torch.full((5,), 29)), rule.change(spikes))


@pytest.mark.parametrize("shape", [(0, 3, 4), (5, 0, 4)])
def test_no_step_is_no_change(shape):
    assert_same_bits(phc.RSTDP().change(torch.ones(shape)), torch.zeros(4, 4))


def test_only_padding_is_no_change():
    change = phc.RSTDP().change(torch.ones(5, 2, 4), torch.zeros(2, dtype=torch.long))
    assert_same_bits(change, torch.zeros(4, 4))


@COINCIDENCE
@given(
    pre=st.integers(0, 39),
    post=st.integers(0, 39),
    tau_plus=st.floats(2.0, 100.0),
    tau_minus=st.floats(2.0, 100.0),
)
def test_one_pair(coincidence, pre, post, tau_plus, tau_minus):
    """Pre before post potentiates, post before pre depresses, by exponentials of the time."""
    rule = phc.RSTDP(tau_plus=tau_plus, tau_minus=tau_minus, coincidence=coincidence)
    spikes = torch.zeros(40, 1, 2, dtype=torch.float64)
    spikes[pre, 0, 0] = spikes[post, 0, 1] = 1.0
    found = float(rule.change(spikes)[1, 0] * 40)
    lag = post - pre
    if lag > 0:
        expected = 1.0 * math.exp(-(lag - 1) / tau_plus)
        assert found > 0
    elif lag < 0:
        expected = -1.05 * math.exp(lag / tau_minus)
        assert found < 0
    else:
        expected = -1.05 if coincidence == "ltd" else 0.0
    assert found == pytest.approx(expected, abs=1e-12)


@COINCIDENCE
@given(order=st.permutations(range(7)), steps=st.integers(1, 60), dtype=st.sampled_from(range(2)))
def test_bits_do_not_depend_on_the_order_of_the_batch_or_of_neurons(
    coincidence, order, steps, dtype
):
    rule = phc.RSTDP(coincidence=coincidence)
    spikes = random_spikes(steps, 7, 7, rate=0.5, dtype=(torch.float32, torch.float64)[dtype])
    change = rule.change(spikes)
    assert_same_bits(rule.change(spikes[:, order]), change)
    assert_same_bits(rule.change(spikes[..., order]), change[order][:, order])


def test_a_batch_is_the_mean_of_its_samples():
    spikes, rule = random_spikes(), phc.RSTDP()
    alone = [rule.change(spikes[:, b : b + 1]) for b in range(5)]
    assert_near(rule.change(spikes), torch.stack(alone).mean(0))


def test_bits_do_not_depend_on_threads_or_layout():
    spikes, rule = random_spikes(500, 16, 32, dtype=torch.float32), phc.RSTDP()
    change = rule.change(spikes)
    assert_same_bits(rule.change(spikes.transpose(0, 1).contiguous().transpose(0, 1)), change)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert_same_bits(rule.change(spikes), change)
    finally:
        torch.set_num_threads(before)


def test_float32_is_float64_rounded_over_many_steps():
    spikes, rule = random_spikes(5000, 3, 8), phc.RSTDP()
    assert_near(rule.change(spikes.float()).double() * 15000, rule.change(spikes) * 15000, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_spikes_give_the_change_of_float32(dtype):
    spikes, rule = random_spikes(), phc.RSTDP()
    assert_same_bits(rule.change(spikes.to(dtype)), rule.change(spikes.float()))


def test_memory_grows_with_the_spikes_alone():
    """T N N values are 32 times what the spikes take."""
    spikes = random_spikes(1000, 2, 64, dtype=torch.float32)
    rule, connectome = phc.RSTDP(), phc.HierarchicalConnectome(phc.Topology.bidirectional(64))
    with LiveTensors() as live:
        rule.update(connectome, spikes, 1.0, torch.tensor([1000, 900]))
    assert live.peak <= 8 * spikes.nbytes


def chain(dale, weight=0.5, **options):
    """E0, E1, I2, I3, E4 in two regions; E1 onto E0 is no connection."""
    excitatory = torch.tensor([True, True, False, False, True])
    mask = ~torch.eye(5, dtype=torch.bool)
    mask[0, 1] = False
    topology = phc.Topology.from_masks(mask, excitatory, torch.tensor([0, 0, 0, 0, 1]))
    connectome = phc.HierarchicalConnectome(topology, dale=dale, **options)
    with torch.no_grad():
        connectome.raw_weight.copy_(
            weight * (torch.ones(5) if dale == "construction" else connectome.sign).expand(5, 5)
        )
    return connectome


def plastic(connectome):
    excitatory = connectome.excitatory
    return connectome.mask & excitatory[:, None] & excitatory[None, :]


@DALE
@pytest.mark.parametrize("reward", [1.0, -0.5, torch.tensor(0.25)])
def test_update_is_the_rule_on_excitatory_connections_alone(dale, reward):
    connectome, rule = chain(dale), phc.RSTDP(eta=0.1)
    raw, weight = connectome.raw_weight.detach().clone(), connectome.weight.detach().clone()
    spikes = random_spikes(neurons=5, rate=0.4, dtype=torch.float32)
    assert rule.update(connectome, spikes, reward, LENGTHS) is None
    where = plastic(connectome)
    assert int(where.sum()) == 5
    expected = weight + 0.1 * float(reward) * rule.change(spikes, LENGTHS)
    assert_near(connectome.weight.detach()[where], expected[where], 1e-6)
    assert bool((connectome.weight.detach()[where] != weight[where]).all())
    assert_same_bits(connectome.raw_weight.detach()[~where], raw[~where])


def test_a_pair_in_a_network_changes_the_connection_from_pre_to_post():
    connectome = chain("construction")
    spikes = torch.zeros(10, 1, 5)
    spikes[2, 0, 0] = spikes[3, 0, 1] = 1.0
    before = connectome.weight.detach().clone()
    phc.RSTDP(eta=1.0).update(connectome, spikes, 1.0)
    changed = (connectome.weight - before).nonzero().tolist()
    assert changed == [[1, 0]], "0 onto 1 is the only connection between the two"
    assert float(connectome.weight[1, 0].detach()) == pytest.approx(0.6)


def depress(connectome, reward=1.0, eta=100.0):
    """Post fires before pre on every connection, so that a large step goes past zero."""
    phc.RSTDP(eta=eta).update(connectome, torch.ones(20, 2, 5), reward)


@pytest.mark.parametrize(
    ("dale", "side"), [("construction", 1.0), ("construction", -1.0), ("projection", 1.0)]
)
def test_a_depressed_weight_stops_at_zero_and_is_not_dead(dale, side):
    connectome = chain(dale, side * 0.5)
    where = plastic(connectome)
    depress(connectome)
    weight = connectome.weight.detach().clone()
    assert bool((weight[where] == 0).all())
    assert bool((weight * connectome.sign >= 0).all())
    (connectome.weight * connectome.sign).sum().backward()
    assert bool((connectome.raw_weight.grad[where] != 0).all()), "dead for an optimiser"
    depress(connectome, reward=-1.0, eta=0.01)
    assert bool((connectome.weight.detach()[where] > 0).all()), "dead for the rule"


def test_without_the_law_a_weight_may_change_its_sign():
    connectome = chain(None)
    depress(connectome)
    assert bool((connectome.weight.detach()[plastic(connectome)] < 0).all())


def test_a_reflected_magnitude_stays_on_its_side():
    connectome = chain("construction", -0.5)
    depress(connectome, reward=-1.0, eta=0.1)
    raw, where = connectome.raw_weight.detach(), plastic(connectome)
    assert bool((raw[where] < -0.5).all())
    assert bool((connectome.weight.detach()[where] > 0.5).all())
    assert bool((raw[~where] == -0.5).all())


@DALE
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3), reward=st.floats(-1.0, 1.0))
def test_law_and_topology_hold_whatever_the_update(dale, seed, scale, reward):
    generator = torch.Generator().manual_seed(seed)
    topology = phc.Topology.feedforward(10)
    connectome = phc.HierarchicalConnectome(topology, dale=dale, generator=generator)
    before = connectome.weight.detach().clone()
    spikes = (torch.rand(20, 3, 10, generator=generator) < 0.3).float()
    phc.RSTDP(eta=scale).update(connectome, spikes, reward)
    weight, where = connectome.weight.detach(), plastic(connectome)
    assert_same_bits(weight[~where], before[~where])
    if dale is not None:
        assert bool((weight[:, topology.excitatory] >= 0).all())
        assert bool((weight[:, ~topology.excitatory] <= 0).all())


def test_any_weights_change_in_place_under_the_law():
    """`HierarchicalConnectome.add` serves inhibitory connections too."""
    for dale in ("construction", "projection"):
        connectome = chain(dale)
        connectome.add(torch.full((5, 5), 0.25))
        weight, mask = connectome.weight.detach(), connectome.mask
        assert_same_bits(
            weight, torch.where(mask, torch.tensor([0.75, 0.75, -0.25, -0.25, 0.75]), 0)
        )
        connectome.add(torch.full((5, 5), 1.0))
        weight = connectome.weight.detach()
        assert_same_bits(weight, torch.where(mask, torch.tensor([1.75, 1.75, 0, 0, 1.75]), 0))
    with pytest.raises(ValueError, match=r"change: got shape \(5,\), expected \(5, 5\)"):
        connectome.add(torch.ones(5))


@DALE
def test_autograd_and_optimiser_are_left_alone(dale):
    connectome = chain(dale)
    parameter = connectome.raw_weight
    optimizer = torch.optim.Adam(connectome.parameters(), lr=0.01)
    connectome(torch.rand(4, 5)).square().sum().backward()
    optimizer.step()
    gradient = parameter.grad.clone()
    state = {k: v.clone() for k, v in optimizer.state[parameter].items()}
    spikes = (torch.rand(6, 2, 5) < 0.5).float().requires_grad_()
    reward = torch.tensor(0.5, requires_grad=True)
    before = parameter.detach().clone()
    phc.RSTDP().update(connectome, spikes, reward)
    assert not phc.RSTDP().change(spikes).requires_grad
    assert not torch.equal(parameter.detach(), before)
    assert connectome.raw_weight is parameter
    assert parameter.is_leaf
    assert parameter.requires_grad
    assert_same_bits(parameter.grad, gradient)
    for name, value in state.items():
        assert_same_bits(optimizer.state[parameter][name], value)
    assert spikes.grad is None
    assert reward.grad is None


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 49])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_reward(classes, dtype):
    def accuracy(value):
        return value if dtype is None else torch.tensor(value, dtype=dtype)

    rule, paper = phc.RSTDP(), phc.RSTDP(reward_baseline=0.5)
    assert float(rule.reward(accuracy(1 / classes), classes)) == 0.0
    assert float(rule.reward(accuracy(1.0), classes)) == pytest.approx(1.0, abs=1e-6)
    assert rule.reward(accuracy(0.0), classes) < 0
    for value in (0.0, 0.3, 0.5, 0.7, 1.0):
        published = 2 * accuracy(value) - 1
        assert float(paper.reward(accuracy(value), classes)) == float(published)
        assert float(rule.reward(accuracy(value), 2)) == float(published)
    assert isinstance(rule.reward(accuracy(0.5), 3), float if dtype is None else torch.Tensor)
    assert dtype is None or rule.reward(accuracy(0.5), 3).dtype == dtype


def test_reward_of_a_network_that_is_right_more_often_than_not():
    assert phc.RSTDP().reward(0.7, 4) == pytest.approx(0.6)
    assert phc.RSTDP(reward_baseline=0.6).reward(0.7, 4) == pytest.approx(0.25)


def test_constants_are_frozen():
    rule = phc.RSTDP()
    with pytest.raises(FrozenInstanceError):
        rule.eta = 1.0
    assert rule == phc.RSTDP(
        tau_plus=10.0, tau_minus=20.0, A_plus=1.0, A_minus=1.05, eta=0.01, coincidence="ltd"
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tau_plus": 0.0}, ValueError, "tau_plus: got 0.0, expected a positive number of time"),
        ({"tau_minus": -2}, ValueError, "tau_minus: got -2.0, expected a positive"),
        ({"tau_plus": math.inf}, ValueError, "tau_plus: got inf"),
        ({"tau_plus": "10"}, TypeError, "tau_plus: got str, expected a number"),
        ({"A_plus": -1.0}, ValueError, "A_plus: got -1.0, expected a finite number of at least 0"),
        ({"A_minus": math.nan}, ValueError, "A_minus: got nan"),
        ({"eta": -0.1}, ValueError, "eta: got -0.1, expected a finite number of at least 0"),
        ({"eta": True}, TypeError, "eta: got bool, expected a number"),
        ({"coincidence": "ltp"}, ValueError, r"coincidence: got 'ltp', expected one of \('ltd', "),
        ({"reward_baseline": 1.0}, ValueError, "reward_baseline: got 1.0, expected 'chance' or an"),
        ({"reward_baseline": "paper"}, ValueError, "reward_baseline: got 'paper', expected"),
        ({"reward_baseline": None}, ValueError, "reward_baseline: got None, expected"),
    ],
)
def test_bad_constants(options, error, message):
    with pytest.raises(error, match=message):
        phc.RSTDP(**options)


@pytest.mark.parametrize(
    ("spikes", "lengths", "error", "message"),
    [
        ([[1.0]], None, TypeError, "spikes: got list, expected a torch.Tensor"),
        (torch.ones(3, 2, 4).bool(), None, TypeError, "spikes: got torch.bool, expected a float"),
        (torch.ones(3, 4), None, ValueError, r"spikes: got shape \(3, 4\).*unsqueeze\(1\)"),
        (torch.tensor(1.0), None, ValueError, r"spikes: got shape \(\), expected \(T, B, N\)"),
        (torch.full((3, 2, 4), math.nan), None, ValueError, "spikes: got NaN or Inf, expected 0"),
        (torch.ones(3, 2, 4), [3, 3], TypeError, "lengths: got list, expected a tensor"),
        (torch.ones(3, 2, 4), torch.tensor([3, 4]), ValueError, "lengths: got 3 to 4, expected 0"),
        (torch.ones(3, 2, 4), torch.tensor([3]), ValueError, r"lengths: got shape \(1,\)"),
    ],
)
def test_bad_spikes(spikes, lengths, error, message):
    with pytest.raises(error, match=message):
        phc.RSTDP().change(spikes, lengths)


@pytest.mark.parametrize(
    ("accuracy", "classes", "error", "message"),
    [
        (0.5, 1, ValueError, "num_classes: got 1, expected an integer of at least 2"),
        (0.5, 2.0, ValueError, "num_classes: got 2.0, expected an integer"),
        (85.0, 4, ValueError, "accuracy: got 85.0, expected 0 to 1.*divide a percentage by 100"),
        (torch.tensor(-0.1), 4, ValueError, "accuracy: got -0.1.*, expected 0 to 1"),
        (math.nan, 4, ValueError, "accuracy: got nan, expected 0 to 1"),
        (torch.tensor([True]), 4, TypeError, r"accuracy: got a tensor of torch.bool.*\.float\(\)"),
        ("high", 4, TypeError, "accuracy: got str, expected a number"),
    ],
)
def test_bad_accuracy(accuracy, classes, error, message):
    with pytest.raises(error, match=message):
        phc.RSTDP().reward(accuracy, classes)


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        (torch.ones(2), ValueError, r"reward: got shape \(2,\), expected one value; take its mean"),
        (torch.tensor(1), TypeError, "reward: got a tensor of torch.int64, expected a number or"),
        (None, TypeError, "reward: got NoneType, expected a number"),
        (math.nan, ValueError, "reward: got nan, expected a finite number; is the batch empty"),
        (torch.tensor(math.inf), ValueError, "reward: got inf, expected a finite number"),
        (torch.ones((), device="meta"), ValueError, "reward: is on meta, the connectome on cpu"),
    ],
)
def test_bad_reward(reward, error, message):
    connectome = chain("construction")
    with pytest.raises(error, match=message):
        phc.RSTDP().update(connectome, torch.ones(3, 2, 5), reward)
    assert bool((connectome.raw_weight == 0.5).all()), "nothing has been changed"


def test_bad_connectome():
    for other in (phc.DenseConnectome(torch.ones(5, 5)), phc.OneToOneConnectome(torch.ones(5))):
        name = type(other).__name__
        with pytest.raises(TypeError, match=f"got {name}, expected a HierarchicalConnectome"):
            phc.RSTDP().update(other, torch.ones(3, 2, 5), 1.0)
    model = phc.PHCSSM(2, 2, neurons=10)
    with pytest.raises(TypeError, match=r"got PHCSSM, .*pass model\.connectome"):
        phc.RSTDP().update(model, torch.ones(3, 2, 10), 1.0)


def test_spikes_of_another_network():
    with pytest.raises(ValueError, match=r"spikes: got shape \(3, 2, 4\), .* N = 5"):
        phc.RSTDP().update(chain(None), torch.ones(3, 2, 4), 1.0)
    with pytest.raises(ValueError, match="spikes: is on meta, the connectome on cpu; move one"):
        phc.RSTDP().update(chain(None), torch.ones(3, 2, 5, device="meta"), 1.0)


def test_refuses_signals_that_are_no_spikes():
    connectome = chain(None)
    before = connectome.raw_weight.detach().clone()
    for value in (0.5, -1.0, 2.0):
        spikes = torch.zeros(6, 2, 5)
        spikes[3, 1, 2] = value
        with pytest.raises(ValueError, match="spikes: got other values than 0 and 1"):
            phc.RSTDP().update(connectome, spikes, torch.tensor(0.5))
    assert_same_bits(connectome.raw_weight.detach(), before)
