"""`TsodyksMarkram` against Eqs. 8 and 10 written out in numpy, with the resources R themselves."""

import math

import numpy as np
import pytest
import torch

import phc_snn as phc
from tests.tolerances import assert_near, assert_same_bits

U, TAU_F, TAU_D = [0.05, 0.3, 0.7, 0.95], [1.0, 20.0, 300.0, 5.0], [100.0, 7.0, 1.0, 40.0]


def scalar_loop(spikes, release, u0, r0):
    """(T, 4) spikes -> efficacy, and the final u and R, one number at a time."""
    efficacy = np.zeros_like(spikes)
    u_end, r_end = np.zeros(4), np.zeros(4)
    for n in range(4):
        u, r = u0[n], r0[n]
        keep_u, keep_r = math.exp(-1.0 / TAU_F[n]), math.exp(-1.0 / TAU_D[n])
        for t in range(len(spikes)):
            s = spikes[t, n]
            u = u * keep_u + U[n] * (1.0 - u) * s
            before = r
            r = r * keep_r + (1.0 - keep_r) - u * r * s
            efficacy[t, n] = s * u * (r if release == "post" else before)
        u_end[n], r_end[n] = u, r
    return efficacy, u_end, r_end


def synapse(release, dtype=torch.float64):
    made = phc.TsodyksMarkram(4, release=release).to(dtype)
    made.increment, made.facilitation_time, made.depression_time = U, TAU_F, TAU_D
    return made


@pytest.mark.parametrize("release", ["post", "pre"])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("at_rest", [True, False])
def test_equals_a_scalar_loop(release, graded, at_rest):
    shape = (400, 1, 4)
    x = (torch.rand(shape) < 0.3).double()
    if graded:
        x = x * torch.rand(shape, dtype=torch.float64)
    u0, r0 = (np.zeros(4), np.ones(4)) if at_rest else (np.full(4, 0.3), np.full(4, 0.6))
    state = phc.TsodyksMarkramState(
        torch.from_numpy(u0)[None].clone(), 1.0 - torch.from_numpy(r0)[None]
    )
    expected, u_end, r_end = scalar_loop(x[:, 0].numpy(), release, u0, r0)
    efficacy, end = synapse(release).scan(x, None if at_rest else state)
    assert_near(efficacy[:, 0], torch.from_numpy(expected))
    assert_near(end.utilisation[0], torch.from_numpy(u_end))
    assert_near(1.0 - end.depletion[0], torch.from_numpy(r_end))
    narrow, _ = synapse(release, torch.float32).scan(x.float())
    wide, _ = synapse(release).scan(x)
    assert_near(narrow.double(), wide, 1e-5)


def test_first_spike_releases_the_increment():
    one = torch.ones(1, 1, 4, dtype=torch.float64)
    increment = torch.tensor(U, dtype=torch.float64)
    before, _ = synapse("pre").scan(one)
    assert_near(before[0, 0], increment)  # u = U, R = 1
    after, _ = synapse("post").scan(one)
    assert_near(after[0, 0], increment * (1.0 - increment))  # R has lost U already


def test_a_slow_recovery_depresses_and_a_slow_decay_facilitates():
    spikes = torch.zeros(41, 1, 1)
    spikes[::10] = 1.0
    depressing = phc.TsodyksMarkram(1, increment=0.6, facilitation_time=1.0, depression_time=500.0)
    facilitating = phc.TsodyksMarkram(
        1, increment=0.1, facilitation_time=500.0, depression_time=1.0
    )
    falling = depressing.scan(spikes)[0][::10].flatten()
    rising = facilitating.scan(spikes)[0][::10].flatten()
    assert bool((falling.diff() < 0).all())
    assert bool((rising.diff() > 0).all())


@pytest.mark.parametrize("release", ["post", "pre"])
def test_resources_and_utilisation_stay_between_zero_and_one(release):
    _, state = synapse(release).scan(torch.ones(2000, 1, 4, dtype=torch.float64))
    for part in state:
        assert bool((part >= 0).all())
        assert bool((part <= 1).all())


def test_no_spike_no_output():
    efficacy, state = synapse("post").scan(torch.zeros(20, 2, 4, dtype=torch.float64))
    assert not bool(efficacy.any())
    assert_same_bits(state.depletion, torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"increment": 1.0}, "increment: got values from 1 to 1, expected 0 <= increment < 1"),
        ({"increment": -0.2}, "increment: got values from -0.2"),
        ({"facilitation_time": 0.0}, "facilitation_time: got values from 0 to 0, expected 0.05"),
        ({"depression_time": [1.0, -5.0, 2.0]}, "depression_time: got values from -5 to 2"),
        ({"release": "before"}, r"release: got 'before', expected one of \('post', 'pre'\)"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        phc.TsodyksMarkram(3, **options)
