"""Random draws that are a function of a counter."""

import pytest
import torch

from phc_snn.axes import OneStep, Trajectory, WholeSequence
from phc_snn.kernels import Stage, chain_refusal
from phc_snn.numerics.random import (
    INCREMENT,
    after,
    drawn_counters,
    first_counters,
    mixed,
    stride,
    uniform,
)
from tests.tolerances import assert_same_bits


def unsigned(words):
    return [int(word) % 2**64 for word in words]


def test_is_splitmix64():
    """The published generator from the state 1234567, and from 0."""
    counters = 1234567 + INCREMENT * torch.arange(1, 6)
    assert unsigned(mixed(counters)) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert unsigned(mixed(torch.tensor([INCREMENT]))) == [0xE220A8397B1DCDAF]


def test_is_the_generator_in_whole_numbers_of_any_size():
    """Against Python's integers, which do not wrap around by themselves."""
    word = 2**64

    def splitmix64(state):
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % word
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % word
        return z ^ (z >> 31)

    counters = drawn_counters((500,), torch.Generator().manual_seed(0), None)
    wanted = [splitmix64(state) for state in unsigned(counters)]
    assert unsigned(mixed(counters)) == wanted
    assert [int(u * 2.0**53) for u in uniform(counters, torch.float64)] == [w >> 11 for w in wanted]
    assert [int(u * 2.0**24) for u in uniform(counters, torch.float32)] == [w >> 40 for w in wanted]


def test_draws_later():
    counter = first_counters(3, 5)
    one_by_one = counter
    for _ in range(1000):
        one_by_one = after(one_by_one, 1)
    assert torch.equal(after(counter, 1000), one_by_one)
    assert torch.equal(after(counter, 0), counter)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_numbers_are_uniform_and_independent(dtype):
    """Lanes side by side, and steps one after the other."""
    lanes, steps = 256, 1024
    counters = first_counters(lanes, 0) + INCREMENT * torch.arange(1, steps + 1)[:, None]
    u = uniform(counters, dtype)
    assert u.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert float(u.min()) >= 0.0
    assert float(u.max()) < 1.0
    u, count = u.double(), lanes * steps
    assert abs(float(u.mean()) - 0.5) < 5 * (12 * count) ** -0.5
    share = torch.histc(u, 64, 0.0, 1.0) / count
    # Chi-squared of 63 degrees of freedom: 63 on average, standard deviation 11.
    assert float(((share - 1 / 64) ** 2).sum() * 64 * count) < 63 + 5 * 11.3
    centred = (u - 0.5) * 12**0.5
    limit = 5 * count**-0.5
    for lag in (1, 2, 7):
        assert abs(float((centred[lag:] * centred[:-lag]).mean())) < limit
        assert abs(float((centred[:, lag:] * centred[:, :-lag]).mean())) < limit
    assert abs(float((centred[1:, 1:] * centred[:-1, :-1]).mean())) < limit
    # Any two lanes: the largest of 32,640 coefficients of correlation.
    between = (centred.T @ centred / steps).fill_diagonal_(0.0)
    assert float(between.abs().max()) < 6 * steps**-0.5


def test_neighbouring_seeds_have_nothing_in_common():
    one, other = (uniform(first_counters(4096, seed), torch.float64) - 0.5 for seed in (0, 1))
    assert abs(float((one * other).mean()) * 12) < 5 / 64
    assert len({*first_counters(4096, 0).tolist(), *first_counters(4096, 1).tolist()}) == 8192
    assert torch.equal(first_counters(3, 7), first_counters(9, 7)[:3])


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match=r"seed: got .* expected a whole number"):
        first_counters(3, seed)


def test_counters_are_drawn_from_all_there_are():
    counters = drawn_counters((4000,), torch.Generator().manual_seed(0), None)
    again = drawn_counters((4000,), torch.Generator().manual_seed(0), None)
    assert torch.equal(counters, again)
    assert abs(float((counters > 0).double().mean()) - 0.5) < 0.04
    assert float(counters.double().abs().max()) > 0.99 * 2.0**63


def test_a_counter_on_every_time_axis():
    initial = drawn_counters((2, 3), torch.Generator().manual_seed(1), None)
    x, by = torch.zeros(5, 2, 3), stride(2)
    values, last = WholeSequence().count(x, initial, by)
    path, states = Trajectory().count(x, initial, by)
    assert_same_bits(path, values)
    assert_same_bits(states[-1], last)
    counter = initial
    for t in range(5):
        before, counter = OneStep().count(x[t], counter, by)
        assert_same_bits(values[t], before)
        assert_same_bits(states[t], counter)
    nothing, same = WholeSequence().count(x[:0], initial, by)
    assert nothing.shape == (0, 2, 3)
    assert_same_bits(same, initial)


def test_a_counter_is_no_business_of_a_kernel():
    """And its values are not what a kernel is looked up by."""
    stage = Stage(test_draws_later, None, (torch.zeros(2, 3), first_counters(3, 0).expand(2, 3)))
    assert chain_refusal([stage], torch.zeros(4, 2, 3)) == "a state of whole numbers"
