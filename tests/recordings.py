"""Small event sets on disk, in the layouts in which the real ones are distributed."""

from pathlib import Path

import numpy as np

SHARED = Path(__file__).parents[2] / "shared" / "data" / "nmnist"
DVS_CLASSES = 11


def write_nmnist(folder, split, number, label, events):
    """One recording (t, x, y, p): 40 bits an event, after Orchard et al. 2015."""
    path = folder / "NMNIST" / {"train": "Train", "test": "Test"}[split] / str(label)
    path.mkdir(parents=True, exist_ok=True)
    packed = bytearray()
    for t, x, y, p in events:
        packed += bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
    (path / f"{number:05d}.bin").write_bytes(packed)


def write_dvsgesture(folder, split, user, label, events):
    """One recording (x, y, p, t in ms) as tonic's archive has it: an array of 16-bit integers."""
    part = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}[split]
    path = folder / "DVSGesture" / part / f"user{user:02d}_lab"
    path.mkdir(parents=True, exist_ok=True)
    np.save(path / f"{label}.npy", np.array(events, dtype=np.uint16).reshape(-1, 4))


def write_audio(folder, kind, split, recordings, classes=("zero", "one")):
    """SHD or SSC: recordings (label, [(seconds, unit), ...]) in one HDF5 file."""
    import h5py

    path = folder / kind.upper() / f"{kind}_{split}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, kind_of, column in (("times", np.float16, 0), ("units", np.uint16, 1)):
            shape = (len(recordings),)
            values = file.create_dataset(f"spikes/{name}", shape, h5py.vlen_dtype(kind_of))
            for i, (_, spikes) in enumerate(recordings):
                values[i] = np.array([spike[column] for spike in spikes], dtype=kind_of)
        labels = np.array([label for label, _ in recordings], dtype=np.uint16)
        file.create_dataset("labels", data=labels)
        file.create_dataset("extra/speaker", data=np.zeros(len(recordings), np.uint16))
        file.create_dataset("extra/keys", data=np.array([c.encode() for c in classes]))
    return path


def moving_bars(folder, per_class=6, classes=2, steps=6, seed=0):
    """An N-MNIST of bars that move: up and down in class 0, sideways in class 1, and so on."""
    random = np.random.default_rng(seed)
    for split in ("train", "test"):
        for label in range(classes):
            for number in range(per_class):
                events = []
                for step in range(steps - number % 3):
                    at = 4 + 4 * step
                    for along in range(34):
                        x, y = (at, along) if label % 2 else (along, at)
                        t = 10_000 * step + int(random.integers(0, 9_999))
                        events.append((t, x, y, int(random.integers(0, 2))))
                write_nmnist(folder, split, number, label, sorted(events))
