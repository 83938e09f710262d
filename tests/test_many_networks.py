"""`Exact` against `Sequential` over two thousand random networks, from quiet to chaotic."""

import pytest
import torch

import phc_snn as phc
from tests.builders import (
    assert_same_solution,
    carried_state,
    currents,
    leading_equal_steps,
    make_network,
    one_sample,
)

pytestmark = pytest.mark.slow
GROUPS, NETWORKS_IN_A_GROUP = 20, 100


def draw(seed):
    """A random network and its input, of which one sample is silent and one much stronger."""
    generator = torch.Generator().manual_seed(seed)

    def pick(*options):
        return options[int(torch.randint(len(options), (), generator=generator))]

    features = pick(4, 7, 12, 16)
    delay = pick(1, 1, 2, 3, 5, 8, 16)
    if pick(True, False, False):
        delay = torch.randint(1, delay + 1, (features,), generator=generator)
    cell, plasticity = pick("ALIF", "LIF"), pick(True, False)
    options = {}
    if cell == "ALIF":
        options = {
            "refractory_lag": pick(0, 0, 1),
            "drive_transform": pick("identity", "identity", "softplus"),
        }
    if pick(True, False, False):  # chains of every order
        spare = [phc.Delay(features, pick(0, 1, 2)), phc.TsodyksMarkram(features, release="pre")]
        options["synapses"] = pick(
            [spare[1], phc.Delay(features, delay)],
            [spare[0], phc.Delay(features, delay), spare[1]],
            [phc.Delay(features, delay), spare[1], spare[0]],
        )
    network = make_network(
        neuron=cell,
        features=features,
        delay=delay,
        gain=0.1 * 300.0 ** float(torch.rand((), generator=generator)),
        plasticity=plasticity,
        drive=pick(1.0, 1.0, 0.5),
        dtype=pick(torch.float32, torch.float64),
        seed=seed,
        **options,
    )
    x = currents(network, pick(33, 64, 100, 150), batch=4, seed=seed)
    x[:, 1] = -1.0
    x[:, 2] = x[:, 2] * 4.0
    x[:, 3] = x[:, 3] * 0.3
    return network, x, carried_state(network, 4) if pick(True, False) else None


@torch.no_grad()
@pytest.mark.parametrize("group", range(GROUPS))
def test_exact_is_sequential_and_never_claims_more_than_is_true(group):
    swept = stepped = 0
    for seed in range(group * NETWORKS_IN_A_GROUP, (group + 1) * NETWORKS_IN_A_GROUP):
        network, x, state = draw(seed)
        truth = network(x, state, solver=phc.Sequential())
        exact = network(x, state, solver=phc.Exact())
        assert_same_solution(exact, truth)
        assert exact.certified_steps.tolist() == [len(x)] * 4
        assert bool((exact.work <= 10).all())
        cut_short = network(x, state, solver=phc.Exact(max_sweeps=1 + seed % 9))
        right = leading_equal_steps(cut_short, truth)
        assert bool((cut_short.certified_steps <= right).all()), seed
        i = seed % 4
        alone = network(*one_sample(x, state, i), solver=phc.Exact())
        for name in ("sweeps", "work"):
            assert bool(getattr(alone, name)[0] == getattr(exact, name)[i]), (seed, name)
        assert torch.equal(alone.voltage[:, 0], exact.voltage[:, i])
        swept += int((exact.work > 1).sum())
        stepped += int((exact.work == 1).sum())
    assert swept > 100, "windows were hardly ever swept"
    assert stepped > 10


@torch.no_grad()
@pytest.mark.parametrize("length", [400, 1500, 4000])
def test_work_where_sweeps_settle_and_where_they_do_not(length):
    """In neuron updates relative to stepping: at most 10 for the one kind, 3 for the other."""
    for delay in (1, 3, 16):
        for gain in (0.1, 1.0, 3.0):
            network = make_network(features=32, gain=gain, delay=delay, dtype=torch.float32)
            solution = network(currents(network, length, batch=4), solver=phc.Exact())
            assert bool((solution.work <= 10).all()), (gain, delay)
        for gain in (3.0, 10.0, 30.0):
            network = make_network(
                features=32, gain=gain, delay=delay, plasticity=False, dtype=torch.float32
            )
            solution = network(currents(network, length, batch=4), solver=phc.Exact())
            assert bool((solution.work <= 3).all()), (gain, delay)
