"""What must hold on a CUDA device: run there with ``pytest -m gpu -n 0``."""

import copy

import pytest
import torch
from torch.func import functional_call, stack_module_state

import phc_snn as phc
from phc_snn import numerics
from phc_snn.named import NEURONS
from tests.builders import make_network
from tests.tolerances import assert_near, assert_same_bits

pytestmark = pytest.mark.gpu
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@DTYPES
@pytest.mark.parametrize("length", [0, 1, 2, 17, 1023])
def test_scan_and_its_gradients_agree_with_the_cpu(dtype, length):
    a, b = torch.rand(length, 3, 5, dtype=dtype), torch.randn(length, 3, 5, dtype=dtype)
    h0 = torch.randn(3, 5, dtype=dtype)
    found = {}
    for device in ("cpu", "cuda"):
        inputs = [v.to(device).detach().requires_grad_() for v in (a, b, h0)]
        h = phc.affine_scan(*inputs)
        gradients = torch.autograd.grad(h.square().sum(), inputs, allow_unused=True)
        found[device] = [h, *gradients]
    for cpu, cuda in zip(found["cpu"], found["cuda"], strict=True):
        assert_near(cuda.cpu(), cpu, 1e-4 if dtype == torch.float32 else 1e-11)


@DTYPES
def test_the_exact_product_has_the_bits_of_the_cpu(dtype):
    x, weight = torch.randn(200, 7, 33, dtype=dtype), torch.randn(20, 33, dtype=dtype)
    expected = numerics.linear(x, weight)
    assert_same_bits(numerics.linear(x.cuda(), weight.cuda()).cpu(), expected)
    alone = torch.stack([numerics.linear(row.cuda(), weight.cuda()) for row in x])
    assert_same_bits(alone.cpu(), expected)


@pytest.mark.parametrize(("columns", "width"), [(1, 1), (6, 64), (64, 16), (128, 130)])
def test_products_of_a_stack_have_the_bits_of_the_cpu(columns, width):
    x, weight = torch.randn(5, 333, columns), torch.randn(5, width, columns)
    x *= 10.0 ** torch.linspace(-44, 30, 333)[:, None]
    expected = torch.stack([numerics.linear(*pair) for pair in zip(x, weight, strict=True)])
    found = torch.vmap(numerics.linear)(x.cuda(), weight.cuda())
    assert_same_bits(found.cpu(), expected)


@pytest.mark.parametrize("neurons", [16, 64, 100])
@pytest.mark.parametrize("delay", [1, 9])
def test_networks_under_vmap_are_the_networks_alone(neurons, delay):
    """On the device they run in one kernel, each with its weights."""
    alone = [
        phc.PHCSSM(6, 2, neurons=neurons, delay=delay, solver=phc.Sequential()).cuda()
        for _ in range(5)
    ]
    parameters, buffers = stack_module_state(alone)
    x = torch.randn(5, 130, 7, 6, device="cuda")
    labels = torch.arange(7, device="cuda") % 2

    def one(own, fixed, x):
        output = functional_call(alone[0], (own, fixed), (x,))
        return alone[0].loss(output, labels), output.solution.spikes, output.solution.voltage

    loss, spikes, voltage = torch.vmap(one)(parameters, buffers, x)
    loss.sum().backward()
    for k, model in enumerate(alone):
        output = model(x[k])
        model.loss(output, labels).backward()
        assert float((spikes[k] != output.solution.spikes).float().mean()) < 1e-4
        assert_near(voltage[k], output.solution.voltage, 1e-3)
        for name, parameter in model.named_parameters():
            assert_near(parameters[name].grad[k], parameter.grad, 1e-4)


@DTYPES
@pytest.mark.parametrize("gain", [1.0, 10.0])
@torch.no_grad()
def test_exact_is_sequential_on_the_device(dtype, gain):
    network = make_network(gain=gain, dtype=dtype).cuda()
    x = torch.randn(80, 6, 8, dtype=dtype, device="cuda")
    exact, sequential = network(x, solver=phc.Exact()), network(x, solver=phc.Sequential())
    assert bool(exact.converged.all())
    assert_same_bits(exact.spikes, sequential.spikes)
    assert_same_bits(exact.voltage, sequential.voltage)


@DTYPES
@torch.no_grad()
def test_a_kernel_has_the_bits_of_the_equations_for_input_of_any_size(dtype):
    """Its quotients are made for what comes in a sigmoid."""
    neuron = phc.ALIF(64).to("cuda", dtype)
    exponents = torch.empty(200, 50, 64, dtype=dtype, device="cuda").uniform_(-44.0, 4.0)
    x = torch.randn_like(exponents) * 10.0**exponents
    kernel, equations = neuron.scan(x), neuron.scan(x, backend="reference")
    for actual, expected in zip(
        [*kernel[:2], *kernel[2]], [*equations[:2], *equations[2]], strict=True
    ):
        assert_same_bits(actual, expected)


@torch.no_grad()
def test_a_batch_of_quiet_and_chaotic_samples_on_the_device():
    network = make_network(features=16, gain=6.0, dtype=torch.float32).cuda()
    x = torch.randn(400, 8, 16, device="cuda")
    x[:, ::2] -= 2.0
    exact, sequential = network(x, solver=phc.Exact()), network(x, solver=phc.Sequential())
    assert_same_bits(exact.spikes, sequential.spikes)
    assert_same_bits(exact.voltage, sequential.voltage)
    assert exact.certified_steps.tolist() == [400] * 8
    assert bool((exact.work <= 10).all())
    assert bool((exact.work[::2] != exact.work[1::2]).any())


def test_memory_of_a_training_step():
    """In bytes a neuron and step; two graphs of a sweep would show beside one."""
    network = make_network(features=32, gain=0.5, dtype=torch.float32).cuda()
    x = torch.randn(512, 8, 32, device="cuda")

    def peak(solver):
        # The first run of a process also allocates the workspaces of its libraries.
        network(x, solver=solver).voltage.square().mean().backward()
        network.zero_grad()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network(x, solver=solver).voltage.square().mean().backward()
        network.zero_grad()
        return (torch.cuda.max_memory_allocated() - before) / x.numel()

    assert peak(phc.Exact()) <= 54
    assert peak(phc.Exact(adjoint="truncated")) <= 54
    assert peak(phc.Sequential()) <= 35
    assert peak(phc.Exact(adjoint="unrolled")) >= 90


@pytest.mark.parametrize("gain", [0.5, 5.0, 30.0])
def test_gradient_of_exact_is_that_of_sequential(gain):
    network = make_network(gain=gain).cuda()
    x = torch.randn(60, 4, 8, dtype=torch.float64, device="cuda", requires_grad=True)
    parameters = [x, *network.parameters()]
    expected, actual = (
        torch.autograd.grad(network(x, solver=solver).voltage.square().mean(), parameters)
        for solver in (phc.Sequential(), phc.Exact())
    )
    for e, a in zip(expected, actual, strict=True):
        assert_near(a, e, 1e-5)


def test_a_classifier_trains_on_the_device():
    model = phc.PHCSSM(3, 2, neurons=16).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(50, 32, 3, device="cuda")
    labels = (x[..., 0].mean(0) > 0).long()
    losses = []
    for _ in range(30):
        loss = model.loss(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def trained(delay, graphed, solver, steps=9):
    """Losses and parameters of a classifier after some steps; batches of two sizes."""
    torch.manual_seed(0)
    model = phc.PHCSSM(3, 2, neurons=16, delay=delay, solver=solver).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, capturable=True)

    def step(x, labels):
        optimizer.zero_grad()
        loss = model.loss(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    train = phc.GraphedStep(step, warmup=2) if graphed else step
    batches = [torch.randn(50, 8 + i % 2, 3, device="cuda") for i in range(steps)]
    losses = [train(x, (x[..., 0].mean(0) > 0).long()) for x in batches]
    return [*losses, *(p.detach() for p in model.parameters())]


@pytest.mark.parametrize("solver", ["auto", phc.Jacobi(3), phc.Jacobi(2, start="sensory")], ids=str)
@pytest.mark.parametrize("delay", [1, [1, 2, 3, 9] * 4], ids=["one", "several"])
def test_a_graphed_step_has_the_bits_of_the_step(delay, solver):
    pairs = zip(trained(delay, True, solver), trained(delay, False, solver), strict=True)
    for actual, expected in pairs:
        assert_same_bits(actual, expected)


def test_a_step_that_reads_a_value_cannot_be_recorded():
    train = phc.GraphedStep(lambda x: x * float(x.sum()), warmup=1)
    x = torch.ones(3, device="cuda")
    assert train(x).tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(RuntimeError, match=r"step: cannot be recorded .* capturable=True"):
        train(x)


def spike_trains(steps, batch, neurons, dtype=torch.float32):
    return (torch.rand(steps, batch, neurons) < 0.2).to(dtype)


@DTYPES
@pytest.mark.parametrize("coincidence", ["ltd", "none"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (500, 1, 8), (200, 33, 64)])
def test_rstdp_has_the_bits_of_the_cpu_in_any_order_of_the_batch(dtype, coincidence, shape):
    spikes, rule = spike_trains(*shape, dtype), phc.RSTDP(coincidence=coincidence)
    lengths = torch.randint(shape[0] + 1, shape[1:2])
    order = torch.randperm(shape[1])
    expected = rule.change(spikes, lengths)
    assert_same_bits(rule.change(spikes.cuda(), lengths.cuda()).cpu(), expected)
    permuted = rule.change(spikes[:, order].cuda(), lengths[order].cuda())
    assert_same_bits(permuted.cpu(), expected)
    assert_same_bits(rule.change(spikes.cuda()).cpu(), rule.change(spikes))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.parametrize("dale", ["construction", "projection", None])
def test_rstdp_makes_the_host_wait_for_nothing_and_can_be_recorded(dale):
    rule, topology = phc.RSTDP(eta=3.0), phc.Topology.bidirectional(16)
    made = [
        phc.HierarchicalConnectome(
            topology, dale=dale, generator=torch.Generator().manual_seed(3)
        ).cuda()
        for _ in range(2)
    ]
    before = made[0].weight.detach().clone()

    def step(connectome):
        def update(spikes, accuracy, lengths):
            reward = rule.reward(accuracy, 4)
            rule.update(connectome, spikes, reward)
            rule.update(connectome, spikes, reward, lengths)
            return reward

        return update

    eager, graphed = step(made[0]), phc.GraphedStep(step(made[1]), warmup=2)
    for i in range(6):
        spikes, accuracy = spike_trains(40, 5, 16).cuda(), torch.tensor(i / 5.0, device="cuda")
        lengths = torch.randint(41, (5,)).cuda()
        assert_same_bits(graphed(spikes, accuracy, lengths), eager(spikes, accuracy, lengths))
        assert_same_bits(made[1].raw_weight.detach(), made[0].raw_weight.detach())
    assert not torch.equal(made[0].weight.detach(), before)
    torch.cuda.set_sync_debug_mode("error")
    try:
        rule.update(made[0], spikes, rule.reward(accuracy, 4))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_of_rstdp_grows_with_the_spikes_alone():
    spikes, rule = spike_trains(500, 8, 128).cuda(), phc.RSTDP()
    rule.change(spikes)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    rule.change(spikes)
    assert torch.cuda.max_memory_allocated() - before <= 10 * spikes.nbytes


@torch.no_grad()
@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_in_a_network_has_the_bits_of_its_steps(name):
    generator = torch.Generator().manual_seed(0)
    model = phc.PHCSSM(4, 3, neurons=16, neuron=name, generator=generator).cuda()
    network, x = model.network, model.encoder(torch.randn(50, 3, 4, device="cuda"))
    whole = network(x, solver=phc.Sequential())
    assert bool(whole.spikes.any())
    assert_same_bits(network(x, solver=phc.Exact()).spikes, whole.spikes)
    state = None
    for t, x_t in enumerate(x):
        spikes, voltage, state = network.step(x_t, state)
        assert_same_bits(spikes, whole.spikes[t])
        assert_same_bits(voltage, whole.voltage[t])


@torch.no_grad()
@pytest.mark.parametrize("name", NEURONS)
def test_a_network_has_the_bits_of_the_cpu(name):
    """Same currents, other machine: contraction is off, and each operation is one of IEEE 754."""
    cpu, gpu = on_both_machines(name, torch.float32)
    assert bool(cpu.spikes.any())
    for found in gpu:
        assert_same_bits(found.spikes.cpu(), cpu.spikes)
        assert_same_bits(found.voltage.cpu(), cpu.voltage)


@torch.no_grad()
@pytest.mark.parametrize("name", NEURONS)
def test_in_double_precision_a_network_is_that_of_the_cpu_to_rounding(name):
    cpu, gpu = on_both_machines(name, torch.float64)
    for found in gpu:
        assert_near(found.voltage.cpu(), cpu.voltage, 1e-11)


def on_both_machines(name, dtype):
    generator = torch.Generator().manual_seed(0)
    network = phc.PHCSSM(4, 3, neurons=16, neuron=name, delay=2, generator=generator).network
    network.to(dtype)
    x = torch.randn(300, 5, 16, dtype=dtype)
    cpu = network(x, solver=phc.Sequential())
    network.cuda()
    return cpu, [network(x.cuda(), solver=solver) for solver in (phc.Sequential(), phc.Exact())]


def test_how_far_the_c_code_is_from_a_network_on_a_gpu():
    model = phc.PHCSSM(6, 4, neurons=32, generator=torch.Generator().manual_seed(0))
    x = torch.randn(100, 40, 6)
    found = [phc.firmware.deviation(place, x) for place in (model, copy.deepcopy(model).cuda())]
    for each in found:
        assert each.steps == x.numel() // 6 * 32
        assert 0 < each.voltage_max < 1e-4
        assert each.differing_spikes <= 1e-4 * each.steps
        assert each.decisions == 1.0
    assert found[0] != found[1], "the norm of the encoder is torch's"
