"""P-SpikeSSM: the published equations with given draws, the draws, and the gradient of a draw."""

import pytest
import torch

import phc_snn as phc
from phc_snn.neurons.p_spike_modes import legs
from phc_snn.numerics.random import after, stride, uniform
from phc_snn.state import map_state, tensors
from tests.neurons.published import LENGTHS, assert_published
from tests.processes import MODELS, N, vary
from tests.tolerances import assert_near, assert_same_bits

FAMILY = ("PSpikeSSM-zoh", "PSpikeSSM-bilinear", "PSpikeSSM-dplr")


class Draw(torch.autograd.Function):
    """``1[p > u]``, with the derivative of ``clamp(p, 0, 1)``."""

    @staticmethod
    def forward(ctx, p, u):
        ctx.save_for_backward(p)
        return (p > u).to(p.dtype)

    @staticmethod
    def backward(ctx, grad):
        (p,) = ctx.saved_tensors
        return grad * ((p >= 0) & (p <= 1)).to(p.dtype), None


def draws_of(counters, steps):
    """U1 and U2 of each step, (T, B, N)."""
    before = counters + stride(2) * torch.arange(steps)[:, None, None]
    return [uniform(after(before, i), torch.float64) for i in (1, 2)]


def parts(p, name):
    return torch.complex(p[f"{name}_real"], p[f"{name}_imaginary"])


def matrices(kind, p):
    """A_bar (N, m, m) and B_bar (N, m) over all m = 2 n modes and conjugates; C (N, m)."""
    a = torch.complex(-torch.exp(p["log_decay_rate"]), p["frequency"])
    b = parts(p, "b")
    both = lambda v: torch.cat([v, v.conj()])  # noqa: E731
    if kind == "dplr":
        low = both(parts(p, "p"))
        matrix = torch.diag(both(a)) - low[:, None] * low.conj()
        half = 0.5 * torch.nn.functional.softplus(p["raw_time_step"])[:, None, None] * matrix
        unit = torch.eye(len(low), dtype=half.dtype)
        a_bar = torch.linalg.solve(unit - half, unit + half)
        dt = torch.nn.functional.softplus(p["raw_time_step"])[:, None]
        return a_bar, torch.linalg.solve(unit - half, dt * both(b))
    dt = torch.exp(p["raw_time_step"])
    if kind == "zoh":
        a_bar = torch.exp(dt * a)
        b_bar = b * (a_bar - 1) / a
    else:
        a_bar = (1 + dt / 2 * a) / (1 - dt / 2 * a)
        b_bar = dt * b / (1 - dt / 2 * a)
    return torch.diag_embed(both(a_bar).T), both(b_bar).T


def oracle(kind, gelu=True, later=False):
    def run(x, state, p):
        first, second = draws_of(state["draws"], len(x))
        s_in = Draw.apply(x, first)
        h = torch.complex(state["real"], state["imaginary"]).transpose(1, 2)
        h = torch.cat([h, h.conj()], -1)
        a_bar, b_bar = matrices(kind, p)
        c = parts(p, "c").T
        rows = []
        for s in s_in.unbind(0):
            h = torch.einsum("nij,bnj->bni", a_bar, h) + b_bar * s[..., None]
            y = (torch.cat([c, c.conj()], -1) * h).sum(-1).real + p["d"] * s
            rows.append(y)
        y = torch.stack(rows)
        if later:
            c = parts(p, "c_after").T
            power, kernel = b_bar, []
            for _ in range(len(x)):
                kernel.append((torch.cat([c, c.conj()], -1) * power).sum(-1).real)
                power = torch.einsum("nij,nj->ni", a_bar, power)
            rows = []
            for t in range(len(x)):
                ahead = [kernel[j - 1] * s_in[t + j] for j in range(1, len(x) - t)]
                rows.append(sum(ahead, torch.zeros_like(x[0])))
            y = y + torch.stack(rows)
        q = p["out_a"] * (torch.nn.functional.gelu(y) if gelu else y) + p["out_b"]
        h = h[..., : h.shape[-1] // 2].transpose(1, 2)
        end = after(state["draws"], 2 * len(x))
        return [Draw.apply(q, second), q], {"draws": end, "imaginary": h.imag, "real": h.real}

    return run


def probabilities(steps, batch=3, seed=0):
    """Some of them below 0 and above 1."""
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, batch, N)
    return 1.4 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.2


def started(neuron, start, batch=3):
    """From rest, or from random modes; each sample has draws of its own."""
    generator = torch.Generator().manual_seed(5)
    state = neuron.initial_state(batch, generator=generator, dtype=torch.float64)
    if start == "zero":
        return state
    modes = [torch.randn(m.shape, generator=generator, dtype=m.dtype) for m in state[1:]]
    return phc.PSpikeSSMState(state.draws, *modes)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", FAMILY)
def test_is_what_was_published(model, start, steps):
    neuron, x = vary(MODELS[model]()), probabilities(steps)
    state = started(neuron, start)
    assert 0.01 < float(neuron.scan(x, state)[0].detach().mean()) < 0.9
    assert_published(neuron, oracle(neuron.discretization), x, state)


def test_the_affine_map_of_the_poster():
    neuron = phc.PSpikeSSM(N, modes=4, gelu=False, generator=torch.Generator().manual_seed(0))
    state = started(neuron, "random")
    assert_published(vary(neuron), oracle("zoh", gelu=False), probabilities(50), state)


@pytest.mark.parametrize("modes", [1, 16, 32])
def test_low_rank_at_published_sizes(modes):
    """32 pairs are the published 64 states, where eigenvectors are no basis any more."""
    generator = torch.Generator().manual_seed(0)
    # Where y is far below 0, q is out_b to rounding: not on the edge of the clamp, then.
    neuron = phc.PSpikeSSM(N, modes=modes, discretization="dplr", out_b=0.05, generator=generator)
    x, state = probabilities(100), started(neuron, "random")
    assert_published(neuron, oracle("dplr"), x, state, modes=("scan", "steps"))


def test_eigenvectors_of_legs_are_no_basis():
    """Why the low rank form is walked and not diagonalised."""
    for modes, condition in ((2, 1e1), (8, 1e10), (32, 1e13)):
        a, p, _ = (torch.complex(*pair) for pair in legs(modes))
        a, p = torch.cat([a, a.conj()]), torch.cat([p, p.conj()])
        values, basis = torch.linalg.eig(torch.diag(a) - p[:, None] * p.conj())
        assert float(torch.linalg.cond(basis)) > condition
        if modes == 2:
            wanted = torch.arange(-4, 0, dtype=torch.float64)  # those of HiPPO-LegS
            assert_near(values.real.sort().values, wanted)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_convolution_is_the_walk(dtype, bidirectional):
    """With its gradients, from rest and (one side) from anywhere, where there are many modes."""
    generator = torch.Generator().manual_seed(0)
    neuron = phc.PSpikeSSM(
        N, modes=16, discretization="dplr", bidirectional=bidirectional, generator=generator
    ).to(dtype)
    x = probabilities(200).to(dtype)
    for start in ("zero",) if bidirectional else ("zero", "random"):
        found = []
        for backend in ("auto", "associative"):
            state = started(neuron, start)
            state = map_state(lambda s: s.to(dtype) if s.is_floating_point() else s, state)
            _, q, end = neuron.scan(x, state, backend=backend)
            loss = q.square().mean() + end.real.square().mean()
            grads = torch.autograd.grad(loss, list(neuron.parameters()), allow_unused=True)
            found.append((q, end.real, end.imaginary, *grads))
        for got, wanted in zip(found[1], found[0], strict=True):
            assert_near(got, wanted, 1e-4 if dtype == torch.float32 else 1e-11)


@pytest.mark.parametrize("discretization", ["zoh", "bilinear", "dplr"])
@pytest.mark.parametrize("steps", [2, 50])
def test_bidirectional(discretization, steps):
    neuron = phc.PSpikeSSM(
        N,
        modes=3,
        discretization=discretization,
        bidirectional=True,
        generator=torch.Generator().manual_seed(1),
    )
    x, state = probabilities(steps), started(neuron, "zero")
    assert_published(vary(neuron), oracle(discretization, later=True), x, state, modes=("scan",))


def test_bidirectional_refuses_what_is_step_by_step():
    neuron = phc.PSpikeSSM(4, modes=2, bidirectional=True)
    x = torch.rand(6, 2, 4)
    _, _, state = neuron.scan(x)
    assert neuron.scan(x[:0])[0].shape == (0, 2, 4)
    with pytest.raises(ValueError, match="bidirectional: got a single step"):
        neuron.step(x[0])
    with pytest.raises(ValueError, match="bidirectional: got a state that is not at rest"):
        neuron.scan(x, state)
    network = phc.PHC(neuron, phc.Delay(4), phc.DenseConnectome(torch.ones(4, 4)))
    for solver in (phc.Sequential(), phc.Jacobi(2), phc.Exact()):
        with pytest.raises(ValueError, match="bidirectional: got a network"):
            network(x, solver=solver)
    fresh = neuron.initial_state(2, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(neuron.scan(x, fresh)[1], neuron.scan(x)[1])


def test_gradient_of_a_draw_is_that_of_the_clamp():
    neuron = phc.PSpikeSSM(6, modes=1, gelu=False)
    with torch.no_grad():
        for part in (neuron.c_real, neuron.c_imaginary):
            part.zero_()
        neuron.d.fill_(1.0)
        neuron.out_a.fill_(0.5)
    x = torch.tensor([[-0.1, 0.0, 0.5, 1.0, 1.1, 0.25]], requires_grad=True)
    spikes, q, _ = neuron.step(x)
    (grad,) = torch.autograd.grad(q.sum(), x)
    assert grad.tolist() == [[0.0, 0.5, 0.5, 0.5, 0.0, 0.5]]
    # Through both draws: q is 0 or 1/2.
    (grad,) = torch.autograd.grad(neuron.step(x)[0].sum(), x)
    assert grad.tolist() == [[0.0, 0.5, 0.5, 0.5, 0.0, 0.5]]
    assert spikes[0, 0] == 0.0
    assert q[0, 4] == 0.5


def test_a_spike_function_takes_the_place_of_the_draw():
    given = phc.PSpikeSSM(5, modes=2, spike_grad=phc.FastSigmoid())
    own = phc.PSpikeSSM(5, modes=2)
    own.load_state_dict(given.state_dict())
    x = probabilities(40).float()
    results = []
    for neuron in (given, own):
        leaf = x.clone().requires_grad_()
        spikes, q, _ = neuron.scan(leaf)
        results.append((spikes, *torch.autograd.grad(q.sum(), leaf)))
    assert torch.equal(results[0][0], results[1][0])
    assert bool((results[0][1] != 0).all())
    assert not bool(results[1][1][x < 0].any())


@torch.no_grad()
def test_spikes_have_the_probability_that_is_returned():
    neuron = phc.PSpikeSSM(64, modes=2, seed=3, generator=torch.Generator().manual_seed(0))
    start = neuron.initial_state(50, generator=torch.Generator().manual_seed(1))
    spikes, q, _ = neuron.scan(torch.rand(200, 50, 64), start)
    share = q.clamp(0.0, 1.0)
    deviation = float((spikes - share).mean()) / float((share * (1 - share)).sum().sqrt())
    assert abs(deviation * spikes.numel()) < 5.0
    assert 0.05 < float(spikes.mean()) < 0.95


def test_draws_at_rest_follow_from_the_seed():
    one, same, other = (phc.PSpikeSSM(5, modes=2, seed=seed) for seed in (1, 1, 2))
    state = one.initial_state(3)
    assert torch.equal(state.draws, same.initial_state(3).draws)
    assert not torch.equal(state.draws, other.initial_state(3).draws)
    assert len(set(state.draws[0].tolist())) == 5
    assert torch.equal(state.draws[0], state.draws[2])
    drawn = one.initial_state(3, generator=torch.Generator().manual_seed(0)).draws
    assert len(set(drawn.flatten().tolist())) == 15
    again = one.initial_state(3, generator=torch.Generator().manual_seed(0)).draws
    assert torch.equal(drawn, again)


@pytest.mark.parametrize("model", FAMILY)
@torch.no_grad()
def test_half_precision_is_computed_in_float32(model):
    neuron, x = MODELS[model](), probabilities(20).bfloat16()
    spikes, q, state = neuron.scan(x)
    wanted, _, _ = neuron.scan(x.float())
    assert_same_bits(spikes.float(), wanted)
    assert {q.dtype, state.real.dtype, state.imaginary.dtype} == {torch.bfloat16}


def network(model):
    torch.manual_seed(0)
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(N))
    return phc.PHC(vary(MODELS[model]()), [phc.Delay(N), phc.TsodyksMarkram(N)], connectome)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", FAMILY)
@torch.no_grad()
def test_in_a_network_every_solver_has_the_same_draws(model, dtype):
    net, x = network(model), probabilities(60).to(dtype)
    start = net.initial_state(3, dtype=dtype)
    start = start._replace(neuron=map_state(lambda s: s.to(s.dtype), started(net.neuron, "zero")))
    start = map_state(lambda s: s.to(dtype) if s.is_floating_point() else s, start)
    wanted = net(x, start, solver=phc.Sequential())
    assert bool(wanted.spikes.any())
    for solver in (phc.Exact(), phc.Jacobi(61, backend="sequential"), "auto"):
        found = net(x, start, solver=solver)
        assert_same_bits(found.spikes, wanted.spikes)
        assert_same_bits(found.voltage, wanted.voltage)
        for got, expected in zip(tensors(found.state), tensors(wanted.state), strict=True):
            assert_same_bits(got, expected)
    state = start
    for t, x_t in enumerate(x):
        spikes, q, state = net.step(x_t, state)
        assert_same_bits(spikes, wanted.spikes[t])
        assert_same_bits(q, wanted.voltage[t])
    for got, expected in zip(tensors(state), tensors(wanted.state), strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("model", FAMILY)
def test_in_a_network_gradients_are_those_of_the_steps(model):
    x = probabilities(30)
    found = []
    for solver in (phc.Sequential(), phc.Exact(adjoint_tolerance=1e-12)):
        net = network(model).double()
        solution = net(x, solver=solver)
        (solution.voltage.square().mean() + solution.spikes.mean()).backward()
        found.append([p.grad for p in net.parameters()])
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        assert bool(torch.isfinite(net(x).voltage).all())
    for got, wanted in zip(found[1], found[0], strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            assert_near(got, wanted, 1e-9)


def test_gradients_are_the_same_where_exact_goes_back_step_by_step(monkeypatch):
    """With counters in the state that it starts from."""
    monkeypatch.setattr("phc_snn.solvers.exact.PATIENCE", 0)
    x = probabilities(40)
    found = []
    for solver in (phc.Sequential(), phc.Exact()):
        net = network("PSpikeSSM-zoh").double()
        solution = net(x, solver=solver)
        (solution.voltage.square().mean() + solution.spikes.mean()).backward()
        found.append(net.neuron.d.grad)
    assert bool(solution.adjoint.stepped.all())
    assert_near(found[1], found[0], 1e-9)


def test_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"discretization: got 'euler', expected one of \('zoh'"):
        phc.PSpikeSSM(3, discretization="euler")
    with pytest.raises(ValueError, match="modes: got 0, expected a positive integer"):
        phc.PSpikeSSM(3, modes=0)
    with pytest.raises(ValueError, match="time_step: got values from 0, expected all above 0"):
        phc.PSpikeSSM(3, time_step=[0.1, 0.0, 0.2])
    with pytest.raises(ValueError, match="seed: got -1"):
        phc.PSpikeSSM(3, seed=-1)


def test_first_values():
    given = phc.PSpikeSSM(4, modes=3, discretization="dplr", time_step=[0.01, 0.1, 1.0, 0.02])
    assert_near(given.time_step, torch.tensor([0.01, 0.1, 1.0, 0.02]))
    drawn = phc.PSpikeSSM(4000, modes=2).requires_grad_(False)
    assert 0.00099 < float(drawn.time_step.min()) < 0.0011
    assert 0.09 < float(drawn.time_step.max()) < 0.101
    assert_near(-drawn.log_decay_rate.exp(), torch.full((2, 4000), -0.5))
    assert_near(drawn.frequency[:, 0], torch.tensor([0.0, torch.pi]))
    assert float(drawn.c_real.square().mean() + drawn.c_imaginary.square().mean()) == pytest.approx(
        1.0, rel=0.05
    )
    again = [
        phc.PSpikeSSM(4, modes=2, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    ]
    for one, other in zip(*(neuron.parameters() for neuron in again), strict=True):
        assert torch.equal(one, other)
