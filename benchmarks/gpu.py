"""Checks and times the kernels on a GPU, against its copy bandwidth: ``python benchmarks/gpu.py``.

Needs phc_snn, torch and Triton and nothing else. Medians of device events; inputs rotate, so that
no size is read from a cache. The numbers go to ``$OUT/gpu.json`` where that is set.
"""

import json
import os
import statistics
import time
import traceback
from functools import partial
from pathlib import Path

import torch

import phc_snn as phc
from phc_snn.kernels import UntraceableError, gpu, run
from phc_snn.scan import reference, triton
from phc_snn.scan.affine import affine_scan

SCANS = [(256, 1024, 1024), (64, 4096, 512), (32, 1024, 64), (32, 3000, 16), (4, 17984, 32)]
PASSES = [(64, 4096, 512), (256, 1024, 1024)]
NETWORKS = [(32, 1024, 64), (4, 17984, 32)]
CLASSIFIER = (32, 896, 6, 64)
"""Batch, steps, channels and neurons of a `PHCSSM` that is trained."""

PASS_ARRAYS = 7.5
"""Arrays that a pass of neuron and synapse has to move, forward and backward."""

rows: list[dict] = []


def median_ms(calls, repeats=15):
    """Median time of one of several like calls, in ms."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    times = []
    for i in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        calls[i % len(calls)]()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def captured_ms(calls):
    """As `median_ms`, of calls as CUDA graphs: without the host, which may take longer."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for call in calls * 2:
            call()
    torch.cuda.current_stream().wait_stream(beside)
    graphs = [torch.cuda.CUDAGraph() for _ in calls]
    for graph, call in zip(graphs, calls, strict=True):
        with torch.cuda.graph(graph):
            call()
    return median_ms([graph.replay for graph in graphs])


def note(what, shape, ms, arrays=None, bandwidth=None, **more):
    row = {"what": what, "shape": shape, "ms": ms, **more}
    text = f"{what:34} {shape!s:20} {ms:9.4f} ms"
    if arrays:
        batch, steps, features = shape
        row["floor_ms"] = arrays * 4e-6 * batch * steps * features / bandwidth
        row["of_copy"] = row["floor_ms"] / ms
        text += f"  floor {row['floor_ms']:.4f} ms  {100 * row['of_copy']:.1f} % of copy"
    rows.append(row)
    print(text, more or "", flush=True)


def copy_bandwidth():
    """GB/s of a device-to-device copy, bytes read and bytes written."""
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    ms = median_ms([lambda: target.copy_(source)])
    return 2 * 4 * source.numel() / ms / 1e6


def make_network(features, seed=0):
    generator = torch.Generator().manual_seed(seed)
    topology = phc.Topology.bidirectional(features)
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        raw = torch.rand(features, features, generator=generator) * 8.0 / features
        connectome.raw_weight.copy_(raw)
    synapses = [phc.Delay(features), phc.TsodyksMarkram(features)]
    return phc.PHC(phc.ALIF(features), synapses, connectome, drive=1.0)


def sets(shape, count=3):
    batch, steps, features = shape
    return [torch.randn(steps, batch, features, device="cuda") for _ in range(count)]


# --- what agrees ------------------------------------------------------------------------------


def gradients(network, x, solver):
    network.zero_grad()
    x = x.detach().clone().requires_grad_()
    solution = network(x, solver=solver)
    weight = torch.linspace(-1, 1, solution.spikes.numel(), device=x.device)
    loss = (solution.spikes * weight.view_as(x)).sum() + (solution.voltage * solution.voltage).sum()
    loss.backward()
    parameters = [p.grad for p in network.parameters() if p.grad is not None]
    return [solution.spikes.detach(), solution.voltage.detach()], [x.grad, *parameters]


def check():
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        for steps in (1, 2, 17, 1023):
            for rows_of_a in {1, steps}:
                a = torch.rand(rows_of_a, 3, 5, dtype=torch.float64, device="cuda").to(dtype)
                b = torch.randn(steps, 3, 5, dtype=dtype, device="cuda")
                for reverse in (False, True):
                    found = triton.launch(a, b, b[0], reverse, tiles=False)
                    expected = reference.scan(a, b, b[0], reverse)
                    assert torch.equal(found, expected), ("scan", dtype, steps, rows_of_a, reverse)
                    if not dtype.is_complex:
                        tiles = triton.launch(a, b, b[0], reverse, tiles=True)
                        torch.testing.assert_close(tiles, expected, rtol=1e-4, atol=1e-4)
    print("scans agree", flush=True)
    for features in (5, 32, 64, 128):
        for solver in (phc.Jacobi(2), phc.Sequential()):
            for steps in (1, 17, 130):
                check_network(make_network(features), features, steps, solver)
    for solver in (phc.Jacobi(2),):
        check_network(make_network(7).double(), 7, 33, solver)
    print("networks agree", flush=True)


def refuse(device):
    """No kernel: everything is computed in tensor operations."""
    raise UntraceableError("not wanted")


def check_network(network, features, steps, solver):
    where = (features, steps, type(solver).__name__)
    x = torch.randn(steps, 3, features, dtype=next(network.parameters()).dtype)
    run._found.clear()
    results, grads = gradients(network.cuda(), x.cuda(), solver)
    made = [k for k in run._found.values() if isinstance(k, gpu.Kernel)]
    assert made, f"no kernel at {where}: {list(run._found.values())}"
    again = gradients(network, x.cuda(), solver)
    # The step in tensor operations; "auto" would scan tiles of time, in another order.
    kernels, run._kernels = run._kernels, refuse
    few, triton.FEW = triton.FEW, 0
    run._found.clear()
    expected, wanted = gradients(network, x.cuda(), solver)
    run._kernels, triton.FEW = kernels, few
    for a, b in zip([*results, *grads], [*again[0], *again[1]], strict=True):
        assert torch.equal(a, b), f"two runs differ at {where}"
    for a, b in zip(results, expected, strict=True):
        if not torch.equal(a, b):
            print("BITS DIFFER", where, float((a - b).abs().max()), flush=True)
    for a, b in zip(grads, wanted, strict=True):
        error = float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        if not error < (2e-5 if b.dtype == torch.float32 else 1e-12):
            print("GRADIENT", where, tuple(b.shape), error, flush=True)


# --- times ------------------------------------------------------------------------------------


def time_scans(bandwidth):
    for shape in SCANS:
        xs = sets(shape)
        a = torch.rand(shape[2], device="cuda")
        for backend in ("triton_sequential", "triton"):
            calls = [partial(affine_scan, a, x, backend=backend) for x in xs]
            note(f"scan {backend}", shape, median_ms(calls), 2, bandwidth)
            note(f"scan {backend}, captured", shape, captured_ms(calls), 2, bandwidth)


def time_passes(bandwidth):
    for shape in PASSES:
        xs = sets(shape, 2)
        network = make_network(shape[2]).cuda()
        seed = torch.randn(shape[1], shape[0], shape[2], device="cuda")
        circuit = network.circuit(torch.float32)
        state = network.initial_state(shape[0], device="cuda")
        stages = [circuit.neuron.stage(circuit._neuron, state.neuron)]
        stages += circuit._stages(state.synapses, 0, len(circuit.processes))

        def step(x, stages=stages, seed=seed):
            x = x.detach().requires_grad_()
            _, (signal, *_), _ = run.run_chain(stages, x, None)
            signal.backward(seed, retain_graph=False, inputs=[x])

        def forward(x, stages=stages):
            with torch.no_grad():
                run.run_chain(stages, x, None)

        note("pass forward", shape, median_ms([partial(forward, x) for x in xs]))
        calls = [partial(step, x) for x in xs]
        for name, ms in (("", median_ms(calls)), (", captured", captured_ms(calls))):
            note(f"pass forward + backward{name}", shape, ms, PASS_ARRAYS, bandwidth)


def time_networks(_):
    for shape in NETWORKS:
        network = make_network(shape[2]).cuda()
        network.check_finite = False  # it waits for the answer
        xs = sets(shape)
        seed = torch.randn_like(xs[0])

        def step(x, network=network, seed=seed):
            network.zero_grad()
            x = x.detach().requires_grad_()
            network(x, solver=phc.Sequential()).voltage.backward(seed)

        def forward(x, network=network):
            with torch.no_grad():
                network(x, solver=phc.Sequential())

        note("network forward", shape, median_ms([partial(forward, x) for x in xs]))
        calls = [partial(step, x) for x in xs]
        note("network training step", shape, median_ms(calls))
        note("network training step, captured", shape, captured_ms(calls))


def time_training(_):
    """All of a training step: the classifier, its loss and the optimiser."""
    batch, steps, channels, neurons = CLASSIFIER
    xs = [torch.randn(steps, batch, channels, device="cuda") for _ in range(8)]
    labels = torch.randint(4, (batch,), device="cuda")
    for name in ("eager", "graphed"):
        torch.manual_seed(0)
        model = phc.PHCSSM(channels, 4, neurons=neurons, solver="auto").cuda()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)

        def step(x, labels, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = model.loss(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        train = phc.GraphedStep(step) if name == "graphed" else step
        for x in xs:
            train(x, labels)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(1000):
            loss = train(xs[i % len(xs)], labels)
        torch.cuda.synchronize()
        ms = 1e3 * (time.perf_counter() - start)
        shape = (batch, steps, neurons)
        note(f"1000 training steps, {name}", shape, ms, last_loss=float(loss))


def main():
    card = torch.cuda.get_device_name()
    print(card, torch.__version__, flush=True)
    bandwidth = copy_bandwidth()
    print(f"copy {bandwidth:.0f} GB/s", flush=True)
    for part in (lambda _: check(), time_scans, time_passes, time_networks, time_training):
        try:
            part(bandwidth)
        except Exception:
            traceback.print_exc()
    result = {"card": card, "torch": torch.__version__, "copy_GBps": bandwidth, "rows": rows}
    if os.environ.get("OUT"):
        Path(os.environ["OUT"], "gpu.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
