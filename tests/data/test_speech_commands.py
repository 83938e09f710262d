"""Google Speech Commands, from small recordings in its own layout."""

import io
import math
import pickle
import wave

import numpy as np
import pytest
import torch

from phc_snn.data import collate_events, load_speech_commands

RATE = 16000
TONES = {"yes": 300.0, "no": 1000.0, "bed": 5000.0}
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def wav(samples, rate=RATE, width=2, channels=1):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, f"<i{width}").tobytes())
    return stream.getvalue()


def tone(word, number):
    steps = np.arange(RATE - 500 * number)
    return np.round(8000.0 * np.sin(2 * np.pi * (TONES[word] + 10 * number) * steps / RATE))


@pytest.fixture
def place(tmp_path):
    """Four recordings of each word, 0 for validation, 1 for test."""
    for word in TONES:
        (tmp_path / word).mkdir()
        for number in range(4):
            path = tmp_path / word / f"speaker_nohash_{number}.wav"
            path.write_bytes(wav(tone(word, number)))
    noise = tmp_path / "_background_noise_"
    noise.mkdir()
    (noise / "tap.wav").write_bytes(wav([1] * 99))
    (tmp_path / "README.md").write_text("The set has one.")
    for number, name in enumerate(LISTS.values()):
        lines = [f"{word}/speaker_nohash_{number}.wav\n" for word in TONES]
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def bands_written_down(samples, hop=160, span=400, bands=40, low=20.0, high=8000.0):
    """The definition, sample by sample: Hann window, Fourier sum, triangles on the mel scale."""
    points = 1024
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / (span - 1)) for i in range(span)]
    at = np.arange(points // 2 + 1)
    wave_of = np.exp(-2j * np.pi * np.outer(at, np.arange(span)) / points)
    mel = [1127.0 * math.log(1.0 + f / 700.0) for f in (low, high)]
    step = (mel[1] - mel[0]) / (bands + 1)
    edges = [700.0 * (math.exp((mel[0] + i * step) / 1127.0) - 1.0) for i in range(bands + 2)]
    rows = []
    for end in range(hop, len(samples) + hop, hop):
        heard = np.zeros(span)
        for i in range(span):
            place = end - span + i
            if 0 <= place < len(samples):
                heard[i] = samples[place] * window[i]
        power = np.abs(wave_of @ heard) ** 2 / span
        row = []
        for b in range(bands):
            below, middle, above = edges[b : b + 3]
            energy = 0.0
            for k in range(points // 2 + 1):
                f = k * RATE / points
                if below < f <= middle:
                    energy += power[k] * (f - below) / (middle - below)
                elif middle < f < above:
                    energy += power[k] * (above - f) / (above - middle)
            row.append(math.log(energy + 1e-6))
        rows.append(row)
    return torch.tensor(rows)


def test_parts_are_those_of_the_lists(place):
    found = load_speech_commands(place)
    assert list(found) == ["train", "validation", "test"]
    for split, numbers in (("validation", [0]), ("test", [1]), ("train", [2, 3])):
        part = found[split]
        assert part.split == split
        assert part.classes == ("bed", "no", "yes")
        names = [f"{w}/speaker_nohash_{n}.wav" for w in ("bed", "no", "yes") for n in numbers]
        assert part.names == names
        assert part.labels.tolist() == [i for i in range(3) for _ in numbers]
        assert len(part) == len(names)
        assert part[-1][1] == 2
        assert part.features == 40
    with pytest.raises(IndexError):
        found["test"][3]


@pytest.mark.parametrize("samples", [None, [9000] + [0] * 480, [0] * 161])
def test_frames_against_the_definition(place, samples):
    if samples is None:
        samples = np.random.default_rng(0).integers(-9999, 9999, 700)
    (place / "no" / "speaker_nohash_1.wav").write_bytes(wav(samples))
    frames, _ = load_speech_commands(place)["test"][1]
    wanted = bands_written_down(np.asarray(samples) / 2**15)
    assert frames.shape == wanted.shape == (math.ceil(len(samples) / 160), 40)
    torch.testing.assert_close(frames, wanted.float(), rtol=1e-5, atol=1e-5)


def test_tones_are_loudest_in_their_bands(place):
    part = load_speech_commands(place)["validation"]
    loudest = {part.classes[label]: int(x[5:-1].mean(0).argmax()) for x, label in part}
    mel = {word: 1127.0 * math.log1p(f / 700.0) for word, f in TONES.items()}
    low, high = (1127.0 * math.log1p(f / 700.0) for f in (20.0, 8000.0))
    for word, band in loudest.items():
        assert band == pytest.approx(41 * (mel[word] - low) / (high - low) - 1, abs=1.0)
    assert part[0][0].shape == (100, 40)


def test_other_windows_and_batches(place):
    part = load_speech_commands(place, window=20.0, span=20.0, bands=12)["train"]
    batch = collate_events([part[0], part[1]])
    assert batch.frames.shape == (47, 2, 12)
    assert batch.lengths.tolist() == [math.ceil((RATE - 500 * n) / 320) for n in (2, 3)]


def test_it_is_kept_in_memory_if_asked(place):
    held, read = (load_speech_commands(place, in_memory=keep)["test"] for keep in (True, False))
    first = held[0][0]
    again = pickle.loads(pickle.dumps(read))
    assert torch.equal(first, read[0][0])
    assert torch.equal(first, again[0][0])
    (place / "bed" / "speaker_nohash_1.wav").unlink()
    assert torch.equal(held[0][0], first)
    with pytest.raises(FileNotFoundError, match=r"bed/speaker_nohash_1\.wav"):
        read[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no wav file that can be read"),
        (wav([1] * 9, rate=8000), "has 8000 Hz, 16 bit, 1 channel.*, expected 16000 Hz"),
        (wav([1] * 9, width=1), "has 16000 Hz, 8 bit, 1 channel"),
        (wav([1] * 8, channels=2), "has 16000 Hz, 16 bit, 2 channel"),
        (wav([1] * 9)[:-4], "has 7 samples and announces 9"),
    ],
    ids=["empty", "rate", "width", "channels", "short"],
)
def test_files_that_cannot_be_read_are_named(place, data, message):
    (place / "bed" / "speaker_nohash_1.wav").write_bytes(data)
    with pytest.raises(ValueError, match=rf"{place}/bed/speaker_nohash_1\.wav: {message}"):
        load_speech_commands(place)["test"][0]


def test_what_is_not_there(place, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder: .*nowhere is no folder"):
        load_speech_commands(place / "nowhere")
    (place / "no" / "speaker_nohash_0.wav").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"lacks 1 recordings .*/no/speaker_nohash_0\.wav first \(validation_list\.txt\)",
    ):
        load_speech_commands(place)
    (place / LISTS["test"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"testing_list\.txt is missing, expected the list"):
        load_speech_commands(place)
    empty = tmp_path / "_empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="has no folders of words"):
        load_speech_commands(empty)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("testing_list.txt", "bed.wav", r"testing_list\.txt: names 'bed\.wav', expected names lik"),
        (
            "testing_list.txt",
            "yes/speaker_nohash_0.wav",
            r"testing_list\.txt: names yes/speaker_nohash_0\.wav a second time",
        ),
        ("validation_list.txt", "", "has no recordings for the validation part"),
    ],
)
def test_lists_that_cannot_be_right(place, name, text, message):
    (place / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_speech_commands(place)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0.0}, r"window: got 0\.0, expected 0\.0625 to 1000 ms, of 16 samples each"),
        ({"span": 1001.0}, r"span: got 1001\.0, expected 0\.0625 to 1000 ms"),
        ({"window": math.nan}, "window: got nan"),
        ({"span": 5.0}, r"span: got 5\.0 ms, expected at least the window, 10\.0 ms"),
        ({"bands": 0}, "bands: got 0, expected a positive integer"),
    ],
)
def test_refuses_other_settings(place, options, message):
    with pytest.raises(ValueError, match=message):
        load_speech_commands(place, **options)
