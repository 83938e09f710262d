"""Compiled kernels, printed from the equations of the models."""

from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.run import elementwise, run_chain, run_network
from phc_snn.kernels.trace import Stage

__all__ = ["Stage", "UntraceableError", "elementwise", "run_chain", "run_network"]
