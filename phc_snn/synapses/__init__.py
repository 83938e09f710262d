"""Synapses: delay and short-term plasticity along time, the connectome from neuron to neuron.

And R-STDP, which changes the connectome's weights by the spikes.
"""

from phc_snn.synapses.connectome import HierarchicalConnectome
from phc_snn.synapses.delay import Delay, DelayState
from phc_snn.synapses.rstdp import RSTDP
from phc_snn.synapses.topology import Topology
from phc_snn.synapses.transmission import Connectome, DenseConnectome, OneToOneConnectome
from phc_snn.synapses.tsodyks_markram import TsodyksMarkram, TsodyksMarkramState

__all__ = [
    "RSTDP",
    "Connectome",
    "Delay",
    "DelayState",
    "DenseConnectome",
    "HierarchicalConnectome",
    "OneToOneConnectome",
    "Topology",
    "TsodyksMarkram",
    "TsodyksMarkramState",
]
