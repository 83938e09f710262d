"""`GraphedStep` without a GPU: what it refuses. The rest is in `tests.test_gpu`."""

import pytest
import torch

import phc_snn as phc


def test_input_that_is_not_on_a_gpu():
    with pytest.raises(ValueError, match="inputs: got a tensor on cpu, expected one on a CUDA"):
        phc.GraphedStep(lambda x: x)(torch.zeros(1))


def test_input_that_is_no_tensor():
    with pytest.raises(TypeError, match="inputs: got float, expected tensors on a CUDA device"):
        phc.GraphedStep(lambda x: x)(1.0)


@pytest.mark.parametrize("warmup", [0, -1, 1.5, True])
def test_calls_before_the_recording(warmup):
    with pytest.raises(ValueError, match=r"warmup: got .*, expected a positive integer"):
        phc.GraphedStep(lambda x: x, warmup=warmup)
