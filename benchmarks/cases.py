"""What is timed: one scan, a neuron with its synapses, and the training step of a network."""

from collections.abc import Callable

import torch
from torch import Tensor

import phc_snn as phc
from benchmarks import peers
from phc_snn.axes import WholeSequence
from phc_snn.process import run_stages

Candidates = dict[str, Callable[[], object]]
Shape = tuple[int, int, int]
"""B, T, N."""


def scan(shape: Shape, *, slow: bool) -> Candidates:
    """Forward and backward of one scan with coefficients that vary over time."""
    batch, steps, features = shape
    a = torch.rand(steps, batch, features).requires_grad_()
    b = torch.randn(steps, batch, features).requires_grad_()
    g = torch.randn(steps, batch, features)

    def run(function: Callable[[Tensor, Tensor], Tensor], *wanted: Tensor) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(a, b), wanted or (a, b), g)

    def backend(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda a, b: phc.affine_scan(a, b, backend=name)

    found: Candidates = {"one scan": run(backend("numba"))}
    if slow:
        found["one scan, loop of torch operations"] = run(backend("reference"))
        # Its derivative by the coefficients takes minutes, so it is left out.
        found["one scan, torch associative_scan (gradient of b alone)"] = run(
            lambda a, b: peers.associative(a.detach(), b), b
        )
    found["one scan, odd-even reduction in torch operations"] = run(backend("associative"))
    return found


def network(features: int) -> phc.PHC:
    """A `PHCSSM`'s network: ALIF neurons, delay, plasticity, hierarchical connectome."""
    generator = torch.Generator().manual_seed(0)
    return phc.PHCSSM(1, 2, neurons=features, generator=generator).network


def neuron_and_synapses(shape: Shape, *, slow: bool) -> Candidates:
    """Forward and backward of five recurrences: ALIF, delay, short-term plasticity."""
    batch, steps, features = shape
    model = network(features)
    x = torch.randn(steps, batch, features).requires_grad_()
    g = torch.randn(steps, batch, features)

    def run(backend: str) -> Callable[[], object]:
        def once() -> object:
            circuit = model.circuit(x.dtype)
            stages = circuit._chain(model.initial_state(batch))
            (_, voltage), (efficacy, *_), _ = run_stages(stages, x, WholeSequence(backend))
            return torch.autograd.grad([voltage, efficacy], [x, *model.neuron.parameters()], [g, g])

        return once

    def peer(function: peers.Run) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(x), x, g)

    found: Candidates = {
        "fused pass": run("auto"),
        "five scans in torch operations (associative)": run("associative"),
    }
    if slow:
        found["recurrences as loops of torch operations"] = run("reference")
        found |= {name: peer(function) for name, function in peers.neurons(features).items()}
    return found


def training_step(shape: Shape, *, slow: bool) -> Candidates:
    """Forward and backward of a recurrent network, in all parameters."""
    batch, steps, features = shape
    model = network(features)
    x = torch.randn(steps, batch, features).requires_grad_()
    g = torch.randn(steps, batch, features)
    wanted = [x, *(p for p in model.parameters() if p.requires_grad)]

    def run(solver: phc.Solver) -> Callable[[], object]:
        return lambda: torch.autograd.grad(model(x, solver=solver).voltage, wanted, g)

    def loop() -> object:
        circuit = model.circuit(x.dtype)
        _, voltage, _, _ = circuit._run_composed(x, model.initial_state(batch))
        return torch.autograd.grad(voltage, wanted, g)

    def peer(function: peers.Run) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(x), x, g)

    found: Candidates = {"Sequential": run(phc.Sequential())}
    for sweeps in (2, 4, 8):
        found[f"Jacobi({sweeps})"] = run(phc.Jacobi(sweeps))
    if slow:
        found["loop of torch operations"] = loop
        found |= {name: peer(function) for name, function in peers.networks(features).items()}
    return found
