"""The distance against its definition, written out."""

import math

import pytest
import torch

import phc_snn as phc


def by_definition(a, b, tau):
    def trace(train):
        f, found = 0.0, []
        for s in train:
            f = f * math.exp(-1.0 / tau) + float(s)
            found.append(f)
        return found

    pairs = zip(trace(a), trace(b), strict=True)
    return math.sqrt(sum((f - g) ** 2 for f, g in pairs) / tau)


@pytest.mark.parametrize("tau", [0.5, 3.0, 10.0])
def test_definition(tau):
    a, b = (torch.rand(2, 40, 3, 2, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    found = phc.van_rossum_distance(a, b, tau)
    assert found.shape == (3, 2)
    for i in range(3):
        for n in range(2):
            assert float(found[i, n]) == pytest.approx(by_definition(a[:, i, n], b[:, i, n], tau))


def test_one_spike_more_is_worth_half_a_square():
    a = torch.zeros(500, 1)
    a[5] = 1.0
    assert float(phc.van_rossum_distance(a, torch.zeros(500, 1), 50.0)) ** 2 == pytest.approx(
        0.5, rel=0.03
    )


def test_a_spike_that_moves_little_is_worth_little():
    def moved(steps):
        a, b = torch.zeros(2, 300, 1)
        a[50], b[50 + steps] = 1.0, 1.0
        return float(phc.van_rossum_distance(a, b))

    assert 0 == moved(0) < moved(1) < moved(5) < moved(100)
    assert moved(100) == pytest.approx(math.sqrt(2) * moved_alone(), rel=1e-3)


def moved_alone():
    a = torch.zeros(300, 1)
    a[50] = 1.0
    return float(phc.van_rossum_distance(a, torch.zeros(300, 1)))


def test_empty_trains_are_equal():
    assert phc.van_rossum_distance(torch.zeros(0, 2), torch.zeros(0, 2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("tau", [0.0, -1.0, math.inf, math.nan])
def test_bad_time_constant(tau):
    with pytest.raises(ValueError, match=r"time_constant: got .*, expected a positive"):
        phc.van_rossum_distance(torch.zeros(3, 1), torch.zeros(3, 1), tau)


def test_trains_of_booleans():
    a, b = torch.zeros(2, 30, 1, dtype=torch.bool)
    a[3] = True
    expected = phc.van_rossum_distance(a.float(), b.float())
    assert torch.equal(phc.van_rossum_distance(a, b), expected)
    assert float(expected) > 0


def test_bad_types():
    with pytest.raises(TypeError, match=r"b: got list, expected a torch\.Tensor"):
        phc.van_rossum_distance(torch.zeros(3, 1), [0.0])
    with pytest.raises(TypeError, match="time_constant: got str, expected a positive number"):
        phc.van_rossum_distance(torch.zeros(3, 1), torch.zeros(3, 1), "10")


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"b: got shape \(3, 2\), expected that of a, \(3, 1\)"):
        phc.van_rossum_distance(torch.zeros(3, 1), torch.zeros(3, 2))
