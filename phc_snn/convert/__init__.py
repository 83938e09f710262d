"""From the network as it trains to the network as it runs: how far the two are apart."""

from phc_snn.convert.attribution import Attribution
from phc_snn.convert.bridges import Bridge, BridgeComparison, compare_bridges
from phc_snn.convert.comparison import Comparison
from phc_snn.convert.curve import SweepCurve
from phc_snn.convert.divergence import Divergence, measure_divergence
from phc_snn.convert.finetune import finetune_sequential
from phc_snn.convert.phase import PhaseDiagram, phase_diagram
from phc_snn.convert.snntorch import from_snntorch
from phc_snn.convert.van_rossum import van_rossum_distance

__all__ = [
    "Attribution",
    "Bridge",
    "BridgeComparison",
    "Comparison",
    "Divergence",
    "PhaseDiagram",
    "SweepCurve",
    "compare_bridges",
    "finetune_sequential",
    "from_snntorch",
    "measure_divergence",
    "phase_diagram",
    "van_rossum_distance",
]
