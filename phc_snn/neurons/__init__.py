"""Neuron models: one file each. `base.py` says what a neuron is."""

from phc_snn.neurons.adlif import AdLIF, AdLIFState
from phc_snn.neurons.alif import ALIF, ALIFState
from phc_snn.neurons.base import Neuron
from phc_snn.neurons.cadlif import CAdLIF
from phc_snn.neurons.csilif import CSiLIF, CSiLIFState
from phc_snn.neurons.cuba_lif import CubaLIF, CubaLIFState
from phc_snn.neurons.lif import LIF, LIFState
from phc_snn.neurons.normalized_lif import NormalizedLIF, NormalizedLIFState
from phc_snn.neurons.p_spike_ssm import PSpikeSSM, PSpikeSSMState
from phc_snn.neurons.silif import SiLIF

__all__ = [
    "ALIF",
    "LIF",
    "ALIFState",
    "AdLIF",
    "AdLIFState",
    "CAdLIF",
    "CSiLIF",
    "CSiLIFState",
    "CubaLIF",
    "CubaLIFState",
    "LIFState",
    "Neuron",
    "NormalizedLIF",
    "NormalizedLIFState",
    "PSpikeSSM",
    "PSpikeSSMState",
    "SiLIF",
]
