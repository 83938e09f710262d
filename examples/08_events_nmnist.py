"""Event-camera recordings of different lengths: batch them with their lengths, train, look inside.

Run:  uv run python examples/08_events_nmnist.py [FOLDER] [--small] [--seed 0] [--out FOLDER]

FOLDER holds NMNIST/Train and NMNIST/Test (see docs/events.md). Without it, bars that move over a
small sensor are made up, four directions to be told apart.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import phc_snn as phc
from phc_snn.data import EventBatch, event_loader, load_events
from phc_snn.data.frames import count_events

DIRECTIONS = ("right", "left", "down", "up")


def moving_bars(number: int, generator: np.random.Generator, size: int = 12) -> list:
    """Recordings of 60 to 120 ms, as (frames, label)."""
    kind = [("x", int), ("y", int), ("p", int), ("t", int)]
    items = []
    for i in range(number):
        label, length = i % len(DIRECTIONS), int(generator.integers(6, 13))
        across = np.linspace(0, size - 1, length).round().astype(int)
        if label % 2:
            across = across[::-1]
        events = []
        for step, at in enumerate(across):
            for along in generator.choice(size, size // 2, replace=False):
                x, y = (at, along) if label < 2 else (along, at)
                time = 10_000 * step + generator.integers(10_000)
                events.append((x, y, generator.integers(2), time))
        counted = count_events(np.array(events, dtype=kind), (size, size, 2), window=10_000)
        items.append((counted.dense(), label))
    return items


def run(model: phc.PHCSSM, batch: EventBatch, solver: phc.Solver | None = None):
    """Frames as vectors; the lengths keep the padding out of logits and loss."""
    return model(torch.log1p(batch.frames.flatten(2)), lengths=batch.lengths, solver=solver)


def train(model: phc.PHCSSM, recordings, epochs: int, seed: int) -> list[float]:
    """Training accuracy of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    loader = event_loader(recordings, batch_size=20, shuffle=True, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    found = []
    for _ in range(epochs):
        right = 0
        for batch in loader:
            kept = torch.rand(batch.frames.shape, generator=generator) > 0.5
            output = run(model, batch._replace(frames=batch.frames * kept))
            optimizer.zero_grad()
            model.loss(output, batch.labels).backward()
            optimizer.step()
            schedule.step()
            right += int((output.logits.argmax(-1) == batch.labels).sum())
        found.append(right / len(recordings))
    return found


def draw(model: phc.PHCSSM, batch: EventBatch, learned: list[float], tested: dict) -> Figure:
    """Frames of the first recording, the spikes of the network, and what was learned."""
    frames, length = batch.frames[:, 0], int(batch.lengths[0])
    spikes = run(model, batch, phc.Sequential()).solution.spikes[:, 0]
    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.6))
    shown = torch.linspace(0, length - 1, 6).round().long().tolist()
    for axes, step in zip(above.subplots(1, len(shown)), shown, strict=True):
        off, on = frames[step]
        axes.imshow((on - off).numpy(), cmap="RdBu_r", vmin=-4, vmax=4)
        axes.set(xticks=[], yticks=[], title=f"step {step}")
    above.suptitle("Events of one recording: brighter (red), darker (blue)")
    raster, curve = below.subplots(1, 2, width_ratios=(1.6, 1))
    steps, neurons = spikes.nonzero(as_tuple=True)
    raster.scatter(steps, neurons, s=6, color="#2e86ab", marker="|")
    raster.axvspan(length - 0.5, len(spikes) - 0.5, color="0.9", label="padding, not counted")
    raster.set(xlim=(-0.5, len(spikes) - 0.5), xlabel="step", ylabel="neuron")
    raster.set(title="Spikes of the network, step by step")
    if length < len(spikes):
        raster.legend(loc="upper right")
    curve.plot(range(1, len(learned) + 1), learned, color="#d1495b", label="training, half dropped")
    for (name, accuracy), style in zip(tested.items(), ("--", ":"), strict=True):
        curve.axhline(accuracy, color="#333333", linestyle=style, label=f"test, {name}")
    curve.set(xlabel="epoch", ylabel="accuracy", title="Accuracy", ylim=(0, 1.02))
    curve.legend(loc="lower right")
    curve.grid(alpha=0.3)
    return figure


def main(folder: Path | None, out: Path, small: bool = False, seed: int = 0) -> None:
    torch.set_num_threads(1)
    if folder is None:
        generator = np.random.default_rng(seed)
        training, test = (moving_bars(n, generator) for n in (160, 80))
        classes, shape = len(DIRECTIONS), (2, 12, 12)
    else:
        options = {"downsample": 2, "in_memory": True}
        training = load_events("nmnist", folder, **options)
        test = load_events("nmnist", folder, split="test", **options)
        classes, shape = len(training.classes), training.shape
    topology = phc.Topology.bidirectional(64, regions=1)
    model = phc.PHCSSM(
        int(np.prod(shape)),
        classes,
        neurons=64,
        topology=topology,
        readout="spike",
        rate_target=0.2,
        generator=torch.Generator().manual_seed(seed),
    )
    learned = train(model, training, 2 if small else 30, seed)
    tested, batches = {}, list(event_loader(test, batch_size=50))
    for name, solver in (("in parallel", phc.Jacobi(4)), ("step by step", phc.Sequential())):
        with torch.no_grad():
            right = sum(
                int((run(model, batch, solver).logits.argmax(-1) == batch.labels).sum())
                for batch in batches
            )
        tested[name] = right / len(test)
        print(f"{name}: test accuracy {tested[name]:.3f} on {len(test)} recordings")
    with torch.no_grad():
        figure = draw(model, batches[0], learned, tested)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "events_nmnist.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.folder, arguments.out, arguments.small, arguments.seed)
