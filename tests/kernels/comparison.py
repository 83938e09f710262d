"""A kernel beside the composed tensor operations: the same bits, and the same gradients."""

import torch

from phc_snn.axes import WholeSequence
from phc_snn.kernels import run_chain
from phc_snn.process import run_stages
from phc_snn.state import map_state, tensors
from tests.builders import assert_same_gradients
from tests.tolerances import TOLERANCE, assert_same_bits

BOTH = (torch.float32, torch.float64)


def by_kernel(stages, x):
    """Raises where there is no kernel."""
    return run_chain(stages, x, WholeSequence("sequential"))


def by_operations(stages, x):
    return run_stages(stages, x, WholeSequence("reference"))


def leaf(tensor):
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def stages_of(processes, dtype, batch=3, state_seed=None):
    """Stages whose states and coefficients are leaves; with a seed, in the middle of a sequence."""
    stages = []
    for process in processes:
        process = process.to(dtype)
        state = process.initial_state(batch, dtype=dtype)
        if state_seed is not None:
            generator = torch.Generator().manual_seed(state_seed)
            state = map_state(
                lambda s, g=generator: torch.rand(s.shape, generator=g).to(s.dtype), state
            )
        stage = process.stage(process.coefficients(dtype), state)
        stages.append(
            stage._replace(
                state=map_state(leaf, stage.state), coefficients=map_state(leaf, stage.coefficients)
            )
        )
    return stages


def leaves_of(stages):
    found = tensors(tuple((s.state, s.coefficients) for s in stages))
    return [t for t in found if t.requires_grad]


def flat(result):
    return tensors(tuple(map(tuple, result)))


def gradients(results, leaves, seed=5):
    """Of one scalar in which every value of every result has a weight of its own."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(r.shape, generator=generator, dtype=r.dtype) for r in results]
    terms = [(r * w).sum() for r, w in zip(results, weights, strict=True) if r.requires_grad]
    found = [None] * len(leaves)
    if terms:
        found = torch.autograd.grad(sum(terms), leaves, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, found, strict=True)]


def assert_same_results(actual, expected):
    for got, wanted in zip(actual, expected, strict=True):
        assert_same_bits(got, wanted)


def assert_agree(actual, expected, leaves, tolerance=None):
    """Results in every bit, gradients to rounding."""
    assert_same_results(actual, expected)
    assert_same_gradients(
        gradients(actual, leaves),
        gradients(expected, leaves),
        tolerance or TOLERANCE[actual[0].dtype],
    )


def assert_stages_agree(stages, x):
    x = leaf(x)
    actual, expected = flat(by_kernel(stages, x)), flat(by_operations(stages, x))
    assert_agree(actual, expected, [x, *leaves_of(stages)])
