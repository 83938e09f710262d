"""The checks at the door, by themselves."""

from typing import NamedTuple

import pytest
import torch

import phc_snn as phc
from phc_snn.checks import check_finite, check_input, check_state
from phc_snn.state import batch_size, map_state, tensors

SEQUENCE, STEP = ("T", "B", "N"), ("B", "N")


class Inner(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Outer(NamedTuple):
    inner: Inner
    parts: tuple


def state(batch=2):
    return Outer(Inner(torch.zeros(batch, 3), torch.ones(batch, 3)), (torch.zeros(batch, 4, 3),))


class TestInput:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_good_input_passes(self, dtype):
        check_input("x", torch.zeros(7, 2, 3, dtype=dtype), SEQUENCE, 3, 2)
        check_input("x", torch.zeros(0, 0, 3, dtype=dtype), SEQUENCE, 3, 0)
        check_input("x", torch.zeros(2, 3, dtype=dtype), STEP, 3)

    @pytest.mark.parametrize(
        ("x", "dims", "error", "message"),
        [
            (
                None,
                SEQUENCE,
                TypeError,
                r"^x: got NoneType, expected a torch.Tensor \(T, B, N\) with",
            ),
            (3.0, STEP, TypeError, r"^x: got float, expected a torch.Tensor \(B, N\) with N = 3$"),
            (
                torch.zeros(5, 2, 3).long(),
                SEQUENCE,
                TypeError,
                r"torch.int64.*convert it with x\.fl",
            ),
            (torch.zeros(5, 3), SEQUENCE, ValueError, r"got shape \(5, 3\).*unsqueeze\(1\)$"),
            (torch.zeros(5, 2, 3, 1), SEQUENCE, ValueError, r"got shape \(5, 2, 3, 1\), expected"),
            (torch.tensor(1.0), STEP, ValueError, r"got shape \(\), expected \(B, N\) with N = 3$"),
            (torch.zeros(5, 2, 3), STEP, ValueError, "for a whole sequence call scan"),
            (torch.zeros(5, 2, 4), SEQUENCE, ValueError, r"got shape \(5, 2, 4\).* N = 3$"),
            (
                torch.zeros(2, 3, 50),
                SEQUENCE,
                ValueError,
                r"bring time to the front: x\.permute\(2, 0",
            ),
            (torch.zeros(3, 2, 50), SEQUENCE, ValueError, r"use x\.permute\(2, 1, 0\)$"),
            (
                torch.zeros(2, 9, 3),
                SEQUENCE,
                ValueError,
                r"looks batch-first, use x\.transpose\(0, 1",
            ),
            (
                torch.zeros(5, 9, 3),
                SEQUENCE,
                ValueError,
                "batch size 9 does not match .* state's 2$",
            ),
        ],
    )
    def test_bad_input(self, x, dims, error, message):
        with pytest.raises(error, match=message):
            check_input("x", x, dims, 3, 2)

    @pytest.mark.parametrize(("shape", "order"), [((2, 3, 50), (2, 0, 1)), ((3, 2, 50), (2, 1, 0))])
    def test_the_mend_that_is_proposed_helps(self, shape, order):
        check_input("x", torch.zeros(shape).permute(*order), SEQUENCE, 3, 2)


class TestFinite:
    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_names_the_first_of_them(self, bad):
        x = torch.zeros(4, 2, 3)
        x[2, 0, 1] = x[3, 1, 2] = bad
        with pytest.raises(
            ValueError, match=r"x: 2 of 24 values .* index \(2, 0, 1\); clean the inp"
        ):
            check_finite("x", x)

    def test_finite_and_empty_pass(self):
        check_finite("x", torch.full((3,), torch.finfo(torch.float32).max))  # not so their sum
        check_finite("x", torch.zeros(0, 2, 3))

    def test_input_that_needs_a_gradient(self):
        check_finite("x", torch.zeros(3, requires_grad=True))

    @pytest.mark.parametrize("make", [phc.ALIF, phc.LIF, phc.Delay, phc.TsodyksMarkram])
    def test_can_be_switched_off_on_each_process(self, make):
        process = make(3)
        x = torch.zeros(4, 2, 3)
        x[1, 0, 0] = torch.nan
        with pytest.raises(ValueError, match="set check_finite = False on the module"):
            process.scan(x)
        process.check_finite = False
        first = process.scan(x)[-2]
        assert bool(torch.isnan(first).any())
        assert not bool(torch.isnan(first[..., 1:]).any())


class TestState:
    def test_a_state_of_the_same_form_passes(self):
        check_state(state(), state())

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (
                None,
                TypeError,
                "^state: got NoneType, expected the Outer that an earlier call returned",
            ),
            (tuple(state()), TypeError, "^state: got tuple, expected the Outer"),
            (state()._replace(inner=7), TypeError, "^state.inner: got int, expected the Inner"),
            (state()._replace(parts=()), TypeError, "^state.parts: got tuple, expected the tuple"),
            (state(3), ValueError, r"^state.inner.left: got shape \(3, 3\), expected \(2, 3\)"),
            (
                state()._replace(parts=([],)),
                TypeError,
                r"^state.parts\[0\]: got list, expected a tor",
            ),
            (
                map_state(torch.Tensor.double, state()),
                TypeError,
                "^state.inner.left: got torch.float64, the input is torch.float32; convert one of",
            ),
            (
                map_state(lambda s: s.to("meta"), state()),
                ValueError,
                "^state.inner.left: is on meta, the input on cpu",
            ),
        ],
    )
    def test_other_states(self, given, error, message):
        with pytest.raises(error, match=message):
            check_state(given, state())


def test_tensors_and_map_state_go_depth_first():
    assert [t.shape for t in tensors(state())] == [(2, 3), (2, 3), (2, 4, 3)]
    doubled = map_state(lambda a, b: a + b, state(), state())
    assert type(doubled) is Outer
    assert type(doubled.inner) is Inner
    assert type(doubled.parts) is tuple
    assert torch.equal(doubled.inner.right, torch.full((2, 3), 2.0))


def test_batch_size():
    assert batch_size(state(5)) == 5
    assert batch_size(None) is None
    assert batch_size("nonsense") is None
    assert batch_size(()) is None
