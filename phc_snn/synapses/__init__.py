"""Synapses: delay and short-term plasticity along time, the connectome from neuron to neuron."""

from phc_snn.synapses.connectome import HierarchicalConnectome
from phc_snn.synapses.delay import Delay, DelayState
from phc_snn.synapses.topology import Topology
from phc_snn.synapses.tsodyks_markram import TsodyksMarkram, TsodyksMarkramState

__all__ = [
    "Delay",
    "DelayState",
    "HierarchicalConnectome",
    "Topology",
    "TsodyksMarkram",
    "TsodyksMarkramState",
]
