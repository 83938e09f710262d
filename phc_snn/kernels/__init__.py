"""Compiled kernels, printed from the equations of the models."""

from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.memory import new_like
from phc_snn.kernels.run import (
    Recurrent,
    chain_refusal,
    elementwise,
    network_refusal,
    run_chain,
    run_network,
    run_sweep,
)
from phc_snn.kernels.trace import Stage

__all__ = [
    "Recurrent",
    "Stage",
    "UntraceableError",
    "chain_refusal",
    "elementwise",
    "network_refusal",
    "new_like",
    "run_chain",
    "run_network",
    "run_sweep",
]
