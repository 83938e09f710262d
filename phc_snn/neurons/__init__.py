"""Neuron models: one file each. `base.py` says what a neuron is."""

from phc_snn.neurons.alif import ALIF, ALIFState
from phc_snn.neurons.base import Neuron
from phc_snn.neurons.cuba_lif import CubaLIF, CubaLIFState
from phc_snn.neurons.lif import LIF, LIFState

__all__ = ["ALIF", "LIF", "ALIFState", "CubaLIF", "CubaLIFState", "LIFState", "Neuron"]
