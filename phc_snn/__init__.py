"""Recurrent spiking networks that train in parallel over time and run step by step, same weights.

The public names are all here: ``import phc_snn as phc``. Time comes first everywhere: (T, B, N).
"""

from phc_snn import functional, neurons
from phc_snn.convert import (
    Attribution,
    BridgeComparison,
    Comparison,
    Divergence,
    PhaseDiagram,
    SweepCurve,
    compare_bridges,
    finetune_sequential,
    from_snntorch,
    measure_divergence,
    phase_diagram,
    van_rossum_distance,
)
from phc_snn.convert.nir import Chain, from_nir, read_nir, to_nir, write_nir
from phc_snn.ensemble import Ensemble, EnsembleOutput
from phc_snn.explain import Explanation, explain
from phc_snn.firmware import export_c
from phc_snn.hidden import detach, reset
from phc_snn.layers import SequenceLayer, StepLayer
from phc_snn.models import PHCSSM
from phc_snn.neurons import *  # noqa: F403  # they are listed there alone
from phc_snn.outputs import PHCSSMOutput, PHCSSMState, StackedSNNOutput, StackedSNNState
from phc_snn.phc import PHC
from phc_snn.process import Process
from phc_snn.scan import affine_scan
from phc_snn.solution import Adjoint, PHCState, Solution
from phc_snn.solvers import Auto, Exact, Jacobi, Sequential, Solver
from phc_snn.spike_blocks import FuseClamp, PSpikeBlock, SpikeMixer
from phc_snn.spike_stack import PSpikeStack, PSpikeStackState
from phc_snn.stack_layers import FeatureNorm
from phc_snn.stacked import StackedSNN
from phc_snn.surrogate import Boxcar, FastSigmoid, RectifiedTanh, StraightThrough, Triangle
from phc_snn.synapses import (
    RSTDP,
    Connectome,
    Delay,
    DelayState,
    DenseConnectome,
    HierarchicalConnectome,
    OneToOneConnectome,
    Topology,
    TsodyksMarkram,
    TsodyksMarkramState,
)
from phc_snn.training.graphed import GraphedStep

__version__ = "0.1.0"

__all__ = [
    "PHC",
    "PHCSSM",
    "RSTDP",
    "Adjoint",
    "Attribution",
    "Auto",
    "Boxcar",
    "BridgeComparison",
    "Chain",
    "Comparison",
    "Connectome",
    "Delay",
    "DelayState",
    "DenseConnectome",
    "Divergence",
    "Ensemble",
    "EnsembleOutput",
    "Exact",
    "Explanation",
    "FastSigmoid",
    "FeatureNorm",
    "FuseClamp",
    "GraphedStep",
    "HierarchicalConnectome",
    "Jacobi",
    "OneToOneConnectome",
    "PHCSSMOutput",
    "PHCSSMState",
    "PHCState",
    "PSpikeBlock",
    "PSpikeStack",
    "PSpikeStackState",
    "PhaseDiagram",
    "Process",
    "RectifiedTanh",
    "SequenceLayer",
    "Sequential",
    "Solution",
    "Solver",
    "SpikeMixer",
    "StackedSNN",
    "StackedSNNOutput",
    "StackedSNNState",
    "StepLayer",
    "StraightThrough",
    "SweepCurve",
    "Topology",
    "Triangle",
    "TsodyksMarkram",
    "TsodyksMarkramState",
    "affine_scan",
    "compare_bridges",
    "detach",
    "explain",
    "export_c",
    "finetune_sequential",
    "from_nir",
    "from_snntorch",
    "functional",
    "measure_divergence",
    "phase_diagram",
    "read_nir",
    "reset",
    "to_nir",
    "van_rossum_distance",
    "write_nir",
]
__all__ += neurons.__all__
