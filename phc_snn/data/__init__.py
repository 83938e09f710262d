"""Data sets: time series and images as tensors, recordings as frames with their lengths."""

from phc_snn.data.batches import EventBatch, collate_events, event_loader
from phc_snn.data.events import EVENT_SETS, EventDataset, load_events
from phc_snn.data.fsdd import SpokenDigits, load_fsdd
from phc_snn.data.mnist import SequentialMNIST, load_sequential_mnist
from phc_snn.data.uea import TimeSeriesDataset, load_uea

__all__ = [
    "EVENT_SETS",
    "EventBatch",
    "EventDataset",
    "SequentialMNIST",
    "SpokenDigits",
    "TimeSeriesDataset",
    "collate_events",
    "event_loader",
    "load_events",
    "load_fsdd",
    "load_sequential_mnist",
    "load_uea",
]
