"""The kernels for a GPU, run on the CPU by Triton's interpreter, against those for the CPU.

A script of its own: the interpreter has to be chosen before Triton is imported.
``python -m tests.interpreted`` ends with an error where they disagree.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

from functools import partial

import torch
from torch.func import functional_call, stack_module_state

import phc_snn as phc
from phc_snn import numerics
from phc_snn.kernels import cpu, gpu, gpu_linear, run
from phc_snn.named import NEURONS
from phc_snn.scan import reference, triton
from phc_snn.state import tensors
from tests.builders import currents, make_network
from tests.tolerances import assert_near, assert_same_bits


def both(compute):
    """What a computation gives with each kind of kernel; it must not fall back to operations."""
    found = []
    for kind in (cpu.Kernel, gpu.Kernel):
        run._found.clear()
        run._kernels = lambda device, kind=kind: kind
        found.append(compute())
        made = [kernel for kernel in run._found.values() if not isinstance(kernel, str)]
        assert made, f"no kernel of {kind}: {run._found}"
        assert all(isinstance(kernel, kind) for kernel in made)
    return found


def gradients(network, x, state, solver):
    """Results, final states and every gradient, of a loss that looks at all of them."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    state = phc.state.map_state(
        lambda t: t.clone().requires_grad_() if t.is_floating_point() else t, state
    )
    solution = network(x, state=state, solver=solver)
    results = [solution.spikes, solution.voltage, *tensors(solution.state)]
    generator = torch.Generator().manual_seed(7)
    loss = sum(
        (r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum()
        for r in results
        if r.is_floating_point() and r.requires_grad
    )
    loss.backward()
    leaves = [x, *(t for t in tensors(state) if t.requires_grad), *network.parameters()]
    return results, [t.grad if t.grad is not None else torch.zeros_like(t) for t in leaves]


def compare(network, steps, solver):
    x = currents(network, steps)
    with torch.no_grad():
        state = network(currents(network, 9, seed=3)).state
    (results, gs), (other, others) = both(lambda: gradients(network, x, state, solver))
    for a, b in zip(results, other, strict=True):
        assert_same_bits(a, b)
    for a, b in zip(gs, others, strict=True):
        assert_near(b, a, 1e-5 if a.dtype == torch.float32 else 1e-12)


def mapped_gradients(networks, x):
    """Results and gradients of networks under ``torch.vmap``, of a loss that looks at all."""
    parameters, buffers = stack_module_state(networks)

    def one(own, fixed, x):
        solution = functional_call(networks[0], (own, fixed), (x,), {"solver": phc.Sequential()})
        return solution.spikes, solution.voltage, *tensors(solution.state)

    results = torch.vmap(one)(parameters, buffers, x)
    generator = torch.Generator().manual_seed(7)
    loss = sum((r * torch.randn(r.shape, generator=generator)).sum() for r in results)
    loss.backward()
    return results, [p.grad for p in parameters.values()]


def compare_mapped():
    """Networks in one kernel on a GPU, one after the other on a CPU."""
    for delay, steps in ((1, 1), (1, 39), (5, 39)):
        networks = [
            make_network(features=5, delay=delay, dtype=torch.float32, seed=seed)
            for seed in range(3)
        ]
        x = torch.stack([currents(networks[0], steps, seed=seed) for seed in range(3)])
        (results, gs), (other, others) = both(partial(mapped_gradients, networks, x))
        for a, b in zip(results, other, strict=True):
            assert_same_bits(a, b)
        for a, b in zip(gs, others, strict=True):
            assert_near(b, a, 1e-5)


def is_traced(network):
    """Whether kernels take the equations of the neurons."""
    x = currents(network, 2).to(next(network.parameters()).dtype)
    state = network.initial_state(x.shape[1], dtype=x.dtype)
    run._found.clear()
    run._kernels = lambda device: cpu.Kernel
    return network.circuit(x.dtype).sweep_refusal(x, state) is None


def compare_products():
    for lead in ((), (3,)):
        for rows, columns, width in ((1, 1, 1), (70, 6, 16), (5, 128, 130), (65, 100, 7)):
            x, weight = torch.randn(*lead, rows, columns), torch.randn(*lead, width, columns)
            x *= 10.0 ** torch.linspace(-44, 30, rows)[:, None]
            x[..., 0, :] = 0.0
            pairs = zip(x, weight, strict=True) if lead else [(x, weight)]
            expected = torch.stack([numerics.linear(*pair) for pair in pairs])
            found = gpu_linear.exact_linear(x, weight)
            assert_same_bits(found if lead else found[None], expected)
    x = torch.tensor([[1.0, torch.inf], [torch.nan, 0.0], [1.0, 2.0]])
    weight = torch.tensor([[1.0, 0.0], [0.5, 0.25]])
    found, expected = gpu_linear.exact_linear(x, weight), numerics.linear(x, weight)
    assert torch.equal(found.isnan(), expected.isnan())
    assert expected[:2].isnan().all()


def compare_scans():
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        for steps, time in ((1, 1), (2, 1), (17, 17), (33, 1)):
            a = torch.rand(time, 2, 5, dtype=torch.float64).to(dtype)
            b = torch.randn(steps, 2, 5, dtype=dtype)
            for reverse in (False, True):
                expected = reference.scan(a, b, b[0], reverse)
                assert_same_bits(triton.launch(a, b, b[0], reverse, tiles=False), expected)
                if not dtype.is_complex:
                    tiles = triton.launch(a, b, b[0], reverse, tiles=True)
                    assert_near(tiles, expected, 1e-5 if dtype == torch.float32 else 1e-12)


def main():
    compare_scans()
    compare_products()
    compare_mapped()
    with torch.no_grad():
        chosen = make_network(features=5, delay=4)
        x = currents(chosen, 21)
        exact = both(lambda: chosen(x, solver=phc.Exact()))
    assert_same_bits(exact[0].spikes, exact[1].spikes)
    for dtype in (torch.float32, torch.float64):
        for steps in (1, 17):
            for delay in (1, 9):
                network = make_network(features=5, delay=delay, dtype=dtype)
                compare(network, steps, phc.Jacobi(2))
                if dtype == torch.float32:
                    compare(network, steps, phc.Sequential())
    features = 6
    delays = phc.Delay(features, steps=torch.tensor([1, 2, 5, 9, 12, 3]))
    network = make_network(features=features, synapses=[delays], dtype=torch.float32)
    compare(network, 33, phc.Jacobi(2))
    compare(network, 33, phc.Sequential())
    for name in NEURONS:
        generator = torch.Generator().manual_seed(0)
        network = phc.PHCSSM(2, 2, neurons=5, neuron=name, generator=generator).network
        if is_traced(network):
            print(name)
            compare(network, 17, phc.Sequential())
            compare(network, 17, phc.Jacobi(1))
    a_network_that_is_too_large_is_known_beforehand()


def a_network_that_is_too_large_is_known_beforehand():
    """So that ``solver="auto"`` does not take a compiled loop for it that there is not."""
    run._found.clear()
    run._kernels = lambda device: gpu.Kernel
    network = make_network(features=130, dtype=torch.float32)
    x = currents(network, 3)
    circuit = network.circuit(x.dtype)
    refusal = circuit.refusal(x, network.initial_state(x.shape[1], dtype=x.dtype))
    assert "130 neurons" in refusal


if __name__ == "__main__":
    main()
