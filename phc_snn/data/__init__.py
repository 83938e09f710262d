"""Data sets as (samples, T, channels) tensors."""

from phc_snn.data.uea import TimeSeriesDataset, load_uea

__all__ = ["TimeSeriesDataset", "load_uea"]
