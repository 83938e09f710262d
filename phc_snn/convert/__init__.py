"""From the network as it trains to the network as it runs: how far the two are apart."""

from phc_snn.convert.divergence import Comparison, Divergence, measure_divergence

__all__ = ["Comparison", "Divergence", "measure_divergence"]
