"""Data sets: time series as tensors, event recordings as frames with their lengths."""

from phc_snn.data.batches import EventBatch, collate_events, event_loader
from phc_snn.data.events import EVENT_SETS, EventDataset, load_events
from phc_snn.data.uea import TimeSeriesDataset, load_uea

__all__ = [
    "EVENT_SETS",
    "EventBatch",
    "EventDataset",
    "TimeSeriesDataset",
    "collate_events",
    "event_loader",
    "load_events",
    "load_uea",
]
