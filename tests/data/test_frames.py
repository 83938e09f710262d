"""Events counted in windows: each one once, whatever the recording."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phc_snn.data.frames import count_events, frame_shape

CAMERA, AUDIO = (5, 3, 2), (7, 1, 1)
DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


def recording(*events):
    return np.array(list(events), dtype=DTYPE)


def recordings(sensor):
    """Random event lists; times crowd around a few values, so that windows' edges are met."""
    x, y, p = (st.integers(0, size - 1) for size in sensor)
    t = st.one_of(st.integers(0, 60), st.sampled_from([10, 20, 30, 10**7]))
    return st.lists(st.tuples(x, y, t, p), max_size=40).map(lambda found: recording(*found))


def by_hand(events, window, downsample, camera):
    """Counts by (step, place), one event after the other."""
    found = Counter()
    for x, y, t, p in events.tolist():
        step = (t - min(events["t"].tolist())) // window
        place = (p, y // downsample, x // downsample) if camera else (x // downsample,)
        found[step, *place] += 1
    return found


@pytest.mark.parametrize("sensor", [CAMERA, AUDIO], ids=["camera", "audio"])
@given(data=st.data(), window=st.integers(5, 50), downsample=st.integers(1, 3))
def test_every_event_is_counted_once_in_its_window(sensor, data, window, downsample):
    events = data.draw(recordings(sensor).filter(lambda e: not len(e) or np.ptp(e["t"]) < 10**4))
    frames = count_events(events, sensor, window=window, downsample=downsample).dense()
    assert float(frames.sum()) == len(events)
    expected = by_hand(events, window, downsample, sensor == CAMERA)
    assert {tuple(i): frames[tuple(i)].item() for i in frames.nonzero().tolist()} == expected
    if len(events):
        assert bool(frames[0].any()), "the first frame begins with the first event"
        assert bool(frames[-1].any()), "the last frame holds the last event"


@given(recordings(CAMERA))
def test_events_are_left_as_they_are(events):
    before = events.copy()
    count_events(events, CAMERA, window=10**6)
    assert np.array_equal(events, before)


@given(recordings(CAMERA), st.randoms(use_true_random=False))
def test_the_order_of_the_events_does_not_matter(events, random):
    order = list(range(len(events)))
    random.shuffle(order)
    first = count_events(events, CAMERA, window=10**5)
    second = count_events(events[order], CAMERA, window=10**5)
    assert torch.equal(first.dense(), second.dense())


@pytest.mark.parametrize(
    ("last", "steps"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (21, 3)], ids=str
)
def test_a_window_holds_its_first_instant_and_not_its_last(last, steps):
    frames = count_events(recording((0, 0, 0, 0), (1, 0, last, 1)), CAMERA, window=10).dense()
    assert len(frames) == steps
    assert frames[-1, 1, 0, 1] == 1


def test_a_single_event():
    frames = count_events(recording((4, 2, 123_456, 1)), CAMERA, window=10).dense()
    assert frames.shape == (1, 2, 3, 5)
    assert frames.nonzero().tolist() == [[0, 1, 2, 4]]


def test_no_events_make_no_frames():
    assert count_events(recording(), CAMERA, window=10).dense().shape == (0, 2, 3, 5)
    assert count_events(recording(), AUDIO, window=10).dense().shape == (0, 7)


@pytest.mark.parametrize("polarity", [0, 1])
def test_a_single_polarity_stays_where_it_is(polarity):
    events = recording(*((i % 5, 0, i, polarity) for i in range(10)))
    frames = count_events(events, CAMERA, window=100).dense()
    assert frames[:, polarity].sum() == 10
    assert not bool(frames[:, 1 - polarity].any())


def test_boolean_polarities_and_small_integers_do_not_overflow():
    """As DVS Gesture has them; 300 events in one cell do not fit 8 bits."""
    dtype = [("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)]
    events = np.array(300 * [(4, 2, True, 3 * 10**9)], dtype=dtype)
    frames = count_events(events, CAMERA, window=10)
    assert frames.counts.dtype == np.uint16
    assert frames.dense()[0, 1, 2, 4] == 300


@pytest.mark.parametrize(
    ("sensor", "downsample", "shape"),
    [
        (CAMERA, 1, (2, 3, 5)),
        (CAMERA, 2, (2, 2, 3)),
        (CAMERA, 9, (2, 1, 1)),
        (AUDIO, 1, (7,)),
        (AUDIO, 3, (3,)),
        ((34, 34, 2), 2, (2, 17, 17)),
    ],
)
def test_shape_of_a_frame(sensor, downsample, shape):
    assert frame_shape(sensor, downsample) == shape


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ((5, 0, 0, 0), "x: an event at 5, expected 0 to 4"),
        ((0, -1, 0, 0), "y: an event at -1, expected 0 to 2"),
        ((0, 0, 0, 2), "p: an event at 2, expected 0 to 1"),
    ],
)
def test_events_outside_the_sensor_are_refused(event, message):
    with pytest.raises(ValueError, match=message):
        count_events(recording((0, 0, 0, 0), event), CAMERA, window=10)


def test_a_window_too_short_for_the_recording_is_refused():
    events = recording((0, 0, 0, 0), (0, 0, 10**12, 0))
    message = "window: makes 1,000,000,000,001 frames .* use a longer window or downsample"
    with pytest.raises(ValueError, match=message):
        count_events(events, CAMERA, window=1)
