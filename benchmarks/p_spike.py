"""P-SpikeSSM learns spoken digits: ``python -m benchmarks.p_spike FOLDER OUT.json``.

FOLDER holds the Free Spoken Digit Dataset (`phc_snn.data.load_fsdd`). A small `phc_snn.PSpikeStack`
is trained on one thread of a CPU, and everything is seeded. The epoch is chosen on the validation
part; the test part is then read with several draws of the spikes. A check that the model learns,
not a contest: chance is 10 %.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import phc_snn as phc
from phc_snn.data import SpokenDigits, load_fsdd
from phc_snn.files import write_json

DRAWS = 5
"""Of the spikes, for the test part."""


def of_one_length(part: SpokenDigits, steps: int) -> tuple[Tensor, Tensor]:
    """(T, samples, features): cut off, or filled up with the mean, after so many steps."""
    x = torch.zeros(steps, len(part), part.features)
    for i in range(len(part)):
        frames, _ = part[i]
        x[: len(frames), i] = frames[:steps]
    return x, part.labels


def batches(samples: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of one epoch in a random order; what is left over is dropped."""
    order = torch.randperm(samples, generator=generator)
    yield from order[: samples // size * size].split(size)


@torch.no_grad()
def accuracy(model: phc.PSpikeStack, x: Tensor, labels: Tensor, seed: int) -> float:
    """Share of right decisions with the draws of a seed."""
    model.eval()
    start = model.initial_state(len(labels), generator=torch.Generator().manual_seed(seed))
    logits, _ = model(x, start)
    return float((logits.argmax(-1) == labels).double().mean())


@torch.no_grad()
def steps_agree(model: phc.PSpikeStack, x: Tensor) -> bool:
    """Whether the trained model gives the same logits step by step, in every bit."""
    model.eval()
    start = model.initial_state(x.shape[1], generator=torch.Generator().manual_seed(0))
    whole, _ = model(x, start)
    state = start
    for x_t in x:
        logits, state = model.step(x_t, state)
    return torch.equal(whole, logits)


def train(data: dict[str, tuple[Tensor, Tensor]], options: argparse.Namespace) -> dict[str, Any]:
    """A run, as it is written to the file."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(options.seed)
    x, labels = data["train"]
    model = phc.PSpikeStack(
        x.shape[-1],
        10,
        features=options.features,
        blocks=options.blocks,
        modes=options.modes,
        discretization=options.discretization,
        residual=options.residual,
        seed=options.seed,
        generator=generator,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.01)
    per_epoch = len(labels) // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.epochs * per_epoch
    )
    began, epochs = time.perf_counter(), []
    best: tuple[float, dict[str, Tensor]] = (-1.0, {})
    for epoch in range(options.epochs):
        model.train()
        losses = []
        for index in batches(len(labels), options.batch, generator):
            start = model.initial_state(len(index), generator=generator)
            logits, _ = model(x[:, index], start)
            loss = torch.nn.functional.cross_entropy(logits, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        found = accuracy(model, *data["validation"], seed=epoch)
        epochs.append({"loss": statistics.fmean(losses), "validation": found})
        print(f"{epoch + 1:3d}  loss {epochs[-1]['loss']:.3f}  validation {found:.3f}", flush=True)
        if found >= best[0]:
            best = found, {name: value.clone() for name, value in model.state_dict().items()}
    seconds = time.perf_counter() - began
    model.load_state_dict(best[1])
    test = [accuracy(model, *data["test"], seed=draw) for draw in range(DRAWS)]
    return {
        "options": {name: str(value) for name, value in vars(options).items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": len(x),
        "epochs": epochs,
        "validation": best[0],
        "test": test,
        "test_mean": statistics.fmean(test),
        "steps_agree_in_every_bit": steps_agree(model, data["test"][0][:, :20]),
        "seconds": seconds,
        "torch": torch.__version__,
        "phc_snn": phc.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--modes", type=int, default=8)
    parser.add_argument("--discretization", default="zoh")
    parser.add_argument("--residual", action="store_true")
    parser.add_argument("--frames", type=int, default=60, help="of 10 ms")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    parts = load_fsdd(options.folder)
    data = {name: of_one_length(part, options.frames) for name, part in parts.items()}
    result = train({str(name): part for name, part in data.items()}, options)
    write_json(options.out, result)
    print(f"test {result['test_mean']:.3f} ({DRAWS} draws), {result['seconds']:.0f} s")


if __name__ == "__main__":
    main()
