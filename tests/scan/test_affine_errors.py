"""What `affine_scan` refuses, and how it says so."""

import pytest
import torch

from phc_snn.scan import affine_scan

A, B = torch.tensor(0.5), torch.ones(6, 2, 3)


@pytest.mark.parametrize(
    ("a", "b", "h0", "message"),
    [
        (torch.ones(4), B, None, r"a: shape \(4,\) does not broadcast to .*, the shape of b"),
        (torch.ones(5, 1, 1), B, None, r"a: shape \(5, 1, 1\) does not broadcast"),
        (torch.ones(1, 6, 2, 3), B, None, r"a: shape \(1, 6, 2, 3\) does not broadcast"),
        (A, B, torch.ones(6, 2, 3), r"h0: shape \(6, 2, 3\) does not broadcast to \(2, 3\)"),
        (A, B, torch.ones(3, 2), r"h0: shape \(3, 2\) .* the shape of b without time"),
        (A, torch.tensor(1.0), None, r"b: got a scalar, expected time first, \(T, ...\)"),
    ],
)
def test_shapes_that_do_not_fit(a, b, h0, message):
    with pytest.raises(ValueError, match=message):
        affine_scan(a, b, h0)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integer_input(dtype):
    whole = torch.ones(6, 2, 3, dtype=dtype)
    with pytest.raises(TypeError, match=rf"b: got {dtype}, expected a floating.*b\.float\(\)"):
        affine_scan(A, whole)
    with pytest.raises(TypeError, match=rf"a: got {dtype}, expected a floating-point"):
        affine_scan(whole, B)
    with pytest.raises(TypeError, match=rf"h0: got {dtype}, expected a floating-point"):
        affine_scan(A, B, whole[0])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_is_no_tensor(position):
    inputs = [A, B, torch.ones(3)]
    inputs[position] = 0.5
    with pytest.raises(TypeError, match=r"(a|b|h0): got float, expected a torch.Tensor"):
        affine_scan(*inputs)


def test_devices_that_differ():
    with pytest.raises(ValueError, match="a: is on meta, b on cpu; move one of them"):
        affine_scan(A.to("meta"), B)
    with pytest.raises(ValueError, match="h0: is on meta, b on cpu"):
        affine_scan(A, B, torch.ones(3, device="meta"))


def test_unknown_backend_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"backend: got 'fast', expected one of 'auto', .*'numba'"):
        affine_scan(A, B, backend="fast")


def test_numba_refuses_other_devices_by_name():
    with pytest.raises(ValueError, match="backend 'numba' does not take tensors on meta"):
        affine_scan(A.to("meta"), B.to("meta"), backend="numba")


@pytest.mark.parametrize(
    ("a", "b", "h0", "message"),
    [
        (A, -B, None, r"b that is not positive everywhere \(smallest element -1\)"),
        (A, B * 0, None, r"b that is not positive everywhere \(smallest element 0\)"),
        (-A, B, None, r"a that is not positive everywhere \(smallest element -0.5\)"),
        (A * 0, B, None, r"a that is not positive everywhere"),
        (A, B, -torch.ones(3), r"h0 that is not non-negative everywhere \(smallest element -1\)"),
        (A, B * 1j, None, "complex input"),
        (A, B * torch.nan, None, "b that is not positive everywhere"),
    ],
)
def test_log_backend_says_what_it_cannot_take(a, b, h0, message):
    with pytest.raises(ValueError, match=f"backend 'log' does not take {message}.*'auto'"):
        affine_scan(a, b, h0, backend="log")


def test_log_backend_starts_from_rest():
    assert affine_scan(A, B, torch.zeros(3), backend="log").shape == B.shape
