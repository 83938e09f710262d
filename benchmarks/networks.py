"""The networks of the benchmarks: excitation and inhibition in balance, of any recurrent gain."""

import torch

import phc_snn as phc


def balanced(gain: float, *, neurons: int = 32, delay: int = 1, plasticity: bool = True) -> phc.PHC:
    """Weights of each sign add up to about ``gain`` onto a neuron: large gains settle slowly."""
    generator = torch.Generator().manual_seed(0)
    connectome = phc.HierarchicalConnectome(
        phc.Topology.bidirectional(neurons),
        gain=gain,
        recurrence=1.0,
        inhibition=1.0,
        generator=generator,
    )
    synapses: list[phc.Process] = [phc.Delay(neurons, delay)]
    if plasticity:
        synapses.append(phc.TsodyksMarkram(neurons))
    return phc.PHC(phc.ALIF(neurons), synapses, connectome)
