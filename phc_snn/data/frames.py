"""Events of a recording, counted in windows of equal length: every event once, none lost."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Sensor = tuple[int, int, int]
"""Width, height and polarities, as tonic's ``sensor_size``; audio has (units, 1, 1)."""

_MOST_CELLS = 2**31


class SparseFrames(NamedTuple):
    """Counts of events, without the zeros; most cells of most frames are zero.

    Attributes:
        steps: T, the number of frames.
        shape: Of one frame.
        cells: (n,) positions of the counts in the flattened (T, *shape), ascending, uint32.
        counts: (n,) at least 1, in the smallest unsigned integer type that holds them.
    """

    steps: int
    shape: tuple[int, ...]
    cells: np.ndarray
    counts: np.ndarray

    def dense(self) -> Tensor:
        """(T, *shape), float32."""
        frames = np.zeros(self.steps * math.prod(self.shape), dtype=np.float32)
        frames[self.cells] = self.counts
        return torch.from_numpy(frames.reshape(self.steps, *self.shape))


def frame_shape(sensor: Sensor, downsample: int = 1) -> tuple[int, ...]:
    """(polarities, height, width) of a camera's frame, (units,) of audio's, after downsampling."""
    width, height, polarities = sensor
    # Rounded up: a last, narrower cell is a cell too.
    columns, rows = -(-width // downsample), -(-height // downsample)
    return (columns,) if height == polarities == 1 else (polarities, rows, columns)


def count_events(events: Any, sensor: Sensor, *, window: int, downsample: int = 1) -> SparseFrames:
    """Count the events in each window of time and each cell of the sensor.

    The first window begins with the first event and ends before ``first + window``; the last one
    holds the last event, however little of it is filled. No events make no frames.

    Args:
        events: Structured array with ``t`` (integers, in any order), ``x``, and, for a camera,
            ``y`` and ``p`` (0 or 1). It is not changed.
        sensor: Size of the sensor.
        window: Length of a window, in the unit of ``t``.
        downsample: Cells of the sensor, in each direction, that make one of the frame. Default 1.

    Raises:
        ValueError: An event outside the sensor, or a window so short that the frames cannot be
            held.

    Example:
        >>> import numpy as np
        >>> events = np.array([(0, 0), (9, 0), (10, 3)], dtype=[("t", int), ("x", int)])
        >>> count_events(events, (4, 1, 1), window=10).dense()
        tensor([[2., 0., 0., 0.],
                [0., 0., 0., 1.]])
    """
    shape = frame_shape(sensor, downsample)
    axes = ("x",) if len(shape) == 1 else ("p", "y", "x")
    place = {name: events[name].astype(np.int64) for name in axes}
    for name, size in zip("xyp", sensor, strict=True):
        if name in place and np.any((place[name] < 0) | (place[name] >= size)):
            wrong = place[name][(place[name] < 0) | (place[name] >= size)][0]
            raise ValueError(f"{name}: an event at {wrong}, expected 0 to {size - 1}")
    if not len(events):
        return SparseFrames(0, shape, np.zeros(0, np.uint32), np.zeros(0, np.uint8))
    times = events["t"].astype(np.int64)
    step = (times - times.min()) // window
    steps = int(step.max()) + 1
    if steps * math.prod(shape) > _MOST_CELLS:
        raise ValueError(
            f"window: makes {steps:,} frames of shape {shape} of one recording, expected at most "
            f"{_MOST_CELLS // math.prod(shape):,}; use a longer window or downsample"
        )
    index = [step] + [place[name] // (1 if name == "p" else downsample) for name in axes]
    cells, counts = np.unique(np.ravel_multi_index(index, (steps, *shape)), return_counts=True)
    smallest = np.min_scalar_type(counts.max())
    return SparseFrames(steps, shape, cells.astype(np.uint32), counts.astype(smallest))
