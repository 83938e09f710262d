"""The one list of models that the contract suite runs over; a new model is one line in `MODELS`."""

import torch

import phc_snn as phc
from phc_snn.parameters import Clipped
from phc_snn.state import tensors

N = 5


def p_spike_ssm(discretization):
    """Forgets within a test, and is silent without input, also once its parameters are varied."""
    generator = torch.Generator().manual_seed(17)
    step = [0.02, 0.03, 0.05, 0.08, 0.1]
    return phc.PSpikeSSM(
        N,
        modes=3,
        discretization=discretization,
        time_step=step,
        out_a=4.0,
        out_b=-0.3,
        generator=generator,
    )


MODELS = {
    "ALIF": lambda: phc.ALIF(N),
    "ALIF-softplus": lambda: phc.ALIF(N, drive_transform="softplus"),
    "ALIF-lag": lambda: phc.ALIF(N, refractory_lag=1),
    "LIF": lambda: phc.LIF(N),
    "LIF-subtract": lambda: phc.LIF(N, reset_mechanism="subtract"),
    "LIF-subtract-now": lambda: phc.LIF(N, reset_mechanism="subtract", reset_delay=False),
    "LIF-zero": lambda: phc.LIF(N, reset_mechanism="zero"),
    "LIF-zero-now": lambda: phc.LIF(N, reset_mechanism="zero", reset_delay=False),
    "CubaLIF": lambda: phc.CubaLIF(N),
    "CubaLIF-zero": lambda: phc.CubaLIF(N, reset_mechanism="zero", reset_input=True),
    "NormalizedLIF": lambda: phc.NormalizedLIF(N),
    "AdLIF": lambda: phc.AdLIF(N, a=0.4),  # below 0 some never settle
    "CAdLIF": lambda: phc.CAdLIF(N),
    "SiLIF": lambda: phc.SiLIF(N),
    "CSiLIF": lambda: phc.CSiLIF(N),
    "S4D": lambda: phc.S4D(N, modes=4, time_step=0.1),  # the slowest of the usual ones stay long
    "BinaryS4D": lambda: phc.BinaryS4D(N, modes=3, time_step=0.1),
    "SpikingSSM": lambda: phc.SpikingSSM(N, modes=4, time_step=0.1),
    "LRU": lambda: phc.LRU(N, states=4, radius=(0.2, 0.9)),
    "S5": lambda: phc.S5(N, states=3, time_step=0.1),
    "S5-bilinear": lambda: phc.S5(N, time_step=0.1, discretization="bilinear"),
    "LinOSS-IM": lambda: phc.LinOSS(N, states=4, stiffness=0.6),  # a slack one drifts
    "LinOSS-IMEX": lambda: phc.LinOSSIMEX(N, states=4, stiffness=0.6),
    "LrcSSM": lambda: phc.LrcSSM(N, threshold=-1.0),  # else some are below it always
    "LrcSSM-symmetric": lambda: phc.LrcSSM(N, threshold=-1.0, elastance="symmetric"),
    "PSpikeSSM-zoh": lambda: p_spike_ssm("zoh"),
    "PSpikeSSM-bilinear": lambda: p_spike_ssm("bilinear"),
    "PSpikeSSM-dplr": lambda: p_spike_ssm("dplr"),
    "Delay-1": lambda: phc.Delay(N, steps=1),
    "Delay-3": lambda: phc.Delay(N, steps=3),
    "Delay-per-neuron": lambda: phc.Delay(N, steps=[0, 1, 2, 5, 1]),
    "TsodyksMarkram-post": lambda: phc.TsodyksMarkram(N, release="post"),
    "TsodyksMarkram-pre": lambda: phc.TsodyksMarkram(N, release="pre"),
}


def vary(process, seed=7):
    """Move every parameter a little, so that no two neurons are alike."""
    generator = torch.Generator().manual_seed(seed)
    kind = type(process)
    clipped = [name for name in dir(type(process)) if isinstance(getattr(kind, name), Clipped)]
    values = {name: getattr(process, name).detach() for name in clipped}
    with torch.no_grad():
        for parameter in process.parameters():
            noise = torch.rand(parameter.shape, generator=generator) - 0.5
            parameter.add_(0.4 * noise.to(parameter.dtype))
        for name, value in values.items():  # outside of its range it would not act
            low, high = getattr(kind, name).lower, getattr(kind, name).upper
            edge = 0.05 * (high - low)
            moved = value + 4.0 * edge * (torch.rand(value.shape, generator=generator) - 0.5)
            setattr(process, name, moved.clamp(low + edge, high - edge))
    return process


def signal(process, steps, batch=3, dtype=torch.float64, seed=0):
    """Input of the kind that the process gets: currents for a neuron, spikes for a synapse."""
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, batch, process.features)
    if isinstance(process, phc.Neuron):
        return (torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3).to(dtype)
    return (torch.rand(shape, generator=generator) < 0.3).to(dtype)


def backends(process):
    """Those of `scan` that take this process: a reset allows none that is parallel over time."""
    affine = process.affine and getattr(process, "reset_mechanism", "none") == "none"
    return ("auto", "reference", *(("associative",) if affine else ()))


def raised(call):
    """The exception that a call ends in, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None


def outputs_of(result):
    """All tensors that `step` or `scan` returned: outputs first, then those of the state."""
    *outputs, state = result
    return [*outputs, *tensors(state)]


def in_steps(process, x, state=None):
    """`step` in a loop; the result has the form of `scan`'s."""
    rows = []
    for x_t in x.unbind(0):
        *outputs, state = process.step(x_t, state)
        rows.append(outputs)
    return (*(torch.stack(column) for column in zip(*rows, strict=True)), state)


def in_chunks(process, x, sizes, state=None):
    """`scan` over pieces, the state carried from one to the next."""
    parts = []
    for chunk in x.split(sizes):
        *outputs, state = process.scan(chunk, state)
        parts.append(outputs)
    return (*(torch.cat(column) for column in zip(*parts, strict=True)), state)
