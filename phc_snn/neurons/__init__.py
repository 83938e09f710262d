"""Neuron models: one file each. `base.py` says what a neuron is."""

from phc_snn.neurons.adlif import AdLIF, AdLIFState
from phc_snn.neurons.alif import ALIF, ALIFState
from phc_snn.neurons.base import Neuron
from phc_snn.neurons.binary_s4d import BinaryS4D
from phc_snn.neurons.cadlif import CAdLIF
from phc_snn.neurons.csilif import CSiLIF, CSiLIFState
from phc_snn.neurons.cuba_lif import CubaLIF, CubaLIFState
from phc_snn.neurons.lif import LIF, LIFState
from phc_snn.neurons.linoss import LinOSS, LinOSSState
from phc_snn.neurons.linoss_imex import LinOSSIMEX
from phc_snn.neurons.lrc_ssm import LrcSSM, LrcSSMState
from phc_snn.neurons.lru import LRU
from phc_snn.neurons.mixing import ComplexState
from phc_snn.neurons.normalized_lif import NormalizedLIF, NormalizedLIFState
from phc_snn.neurons.p_spike_ssm import PSpikeSSM, PSpikeSSMState
from phc_snn.neurons.s4d import S4D, S4DState
from phc_snn.neurons.s5 import S5
from phc_snn.neurons.silif import SiLIF
from phc_snn.neurons.spiking_ssm import SpikingSSM, SpikingSSMState

__all__ = [
    "ALIF",
    "LIF",
    "LRU",
    "S4D",
    "S5",
    "ALIFState",
    "AdLIF",
    "AdLIFState",
    "BinaryS4D",
    "CAdLIF",
    "CSiLIF",
    "CSiLIFState",
    "ComplexState",
    "CubaLIF",
    "CubaLIFState",
    "LIFState",
    "LinOSS",
    "LinOSSIMEX",
    "LinOSSState",
    "LrcSSM",
    "LrcSSMState",
    "Neuron",
    "NormalizedLIF",
    "NormalizedLIFState",
    "PSpikeSSM",
    "PSpikeSSMState",
    "S4DState",
    "SiLIF",
    "SpikingSSM",
    "SpikingSSMState",
]
