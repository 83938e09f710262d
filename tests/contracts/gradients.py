"""Promises about derivatives."""

import copy

import torch
from torch.func import functional_call

import phc_snn as phc
from phc_snn.state import map_state, tensors
from tests.processes import backends, in_steps, outputs_of, signal
from tests.tolerances import GRADIENT_TOLERANCE, assert_near


def smooth(process):
    """A float64 copy whose outputs have a derivative: its spike is a sigmoid, not a step."""
    process = copy.deepcopy(process).double()
    process.check_finite = False
    if isinstance(process, phc.Neuron):
        process.spike_grad = torch.sigmoid
    return process


def _leaf_state(process, batch):
    with torch.no_grad():
        *_, state = process.scan(signal(process, 7, batch=batch, seed=3))
    return map_state(lambda s: s.clone().requires_grad_(s.is_floating_point()), state)


def _leaves(state):
    return [s for s in tensors(state) if s.requires_grad]


def weighted_sum(results):
    """A scalar in which every element of every result has a weight of its own."""
    generator = torch.Generator().manual_seed(11)
    return sum(
        (r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum()
        for r in results
        if r.is_floating_point()
    )


class _Runner(torch.nn.Module):
    """Makes the parameters of a process arguments of a function."""

    def __init__(self, process, run):
        super().__init__()
        self.process, self.run = process, run

    def forward(self, x, state):
        results = outputs_of(self.run(self.process, x, state))
        return tuple(r for r in results if r.is_floating_point())


def contract_gradients_match_finite_differences(process):
    process = smooth(process)
    state = _leaf_state(process, 2)
    leaves = _leaves(state)
    for run in (in_steps, lambda p, x, s: p.scan(x, s)):
        runner = _Runner(process, run)
        names = [name for name, _ in runner.named_parameters()]

        def function(x, *rest, runner=runner, names=names):
            values = dict(zip(names, rest[len(leaves) :], strict=True))
            floating = iter(rest[: len(leaves)])
            given = map_state(lambda s: next(floating) if s.requires_grad else s, state)
            return functional_call(runner, values, (x, given))

        inputs = [signal(process, 5, batch=2) + 0.1, *leaves, *process.parameters()]
        inputs = [t.detach().clone().requires_grad_() for t in inputs]
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True, raise_exception=False)


def _gradients(process, run, x, state):
    leaves = [x, *_leaves(state), *process.parameters()]
    total = weighted_sum(outputs_of(run(process, x, state)))
    if not total.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    grads = torch.autograd.grad(total, leaves, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, grads, strict=True)]


def contract_step_gradients_equal_scan_gradients(process):
    """With the surrogate, for the input, the state that came in, and every parameter."""
    process = copy.deepcopy(process).double()
    x = signal(process, 25).requires_grad_()
    state = _leaf_state(process, 3)
    stepped = _gradients(process, in_steps, x, state)
    for backend in backends(process):
        scanned = _gradients(process, lambda p, x, s, b=backend: p.scan(x, s, backend=b), x, state)
        for got, wanted in zip(scanned, stepped, strict=True):
            assert_near(got, wanted, GRADIENT_TOLERANCE[torch.float64])


def contract_gradients_flow(process):
    """Input, state and every parameter of every neuron are reached by the surrogate gradient."""
    process = copy.deepcopy(process).double()
    x = (4.0 * signal(process, 25) + 0.5).requires_grad_()  # enough to fire in any model
    state = _leaf_state(process, 3)
    for run in (in_steps, lambda p, x, s: p.scan(x, s)):
        grad_x, *others = _gradients(process, run, x, state)
        assert bool((grad_x[-1] != 0).any())
        assert bool((grad_x[0] != 0).any())
        for gradient, leaf in zip(others, [*_leaves(state), *process.parameters()], strict=True):
            assert bool(torch.isfinite(gradient).all())
            assert bool((gradient != 0).any()), f"no gradient for a tensor of {tuple(leaf.shape)}"


def contract_no_gradient_reaches_the_past(process):
    """The output of a step has no derivative with respect to later input."""
    x = signal(process, 12).requires_grad_()
    for run in (in_steps, lambda p, x, s: p.scan(x, s)):
        *outputs, _ = run(process, x, None)
        total = weighted_sum([output[:6] for output in outputs])
        if not total.requires_grad:
            continue
        (grad,) = torch.autograd.grad(total, x)
        assert not bool(grad[6:].any())
