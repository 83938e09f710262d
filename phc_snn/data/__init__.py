"""Data sets: time series and images as tensors, recordings as frames with their lengths."""

from phc_snn.data.batches import EventBatch, collate_events, event_loader
from phc_snn.data.events import EVENT_SETS, EventDataset, load_events
from phc_snn.data.fsdd import SpokenDigits, load_fsdd
from phc_snn.data.mnist import SequentialMNIST, load_sequential_mnist
from phc_snn.data.pool import Pool, read_pool, write_pool
from phc_snn.data.protocol import PUBLISHED_SEEDS, load_published, split_positions
from phc_snn.data.series import Sequences, TimeSeriesDataset, stacked
from phc_snn.data.speech_commands import SpeechCommands, load_speech_commands
from phc_snn.data.uea import load_uea

__all__ = [
    "EVENT_SETS",
    "PUBLISHED_SEEDS",
    "EventBatch",
    "EventDataset",
    "Pool",
    "Sequences",
    "SequentialMNIST",
    "SpeechCommands",
    "SpokenDigits",
    "TimeSeriesDataset",
    "collate_events",
    "event_loader",
    "load_events",
    "load_fsdd",
    "load_published",
    "load_sequential_mnist",
    "load_speech_commands",
    "load_uea",
    "read_pool",
    "split_positions",
    "stacked",
    "write_pool",
]
