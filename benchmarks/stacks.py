"""The SiLIF work's stack on sets that are at hand: ``python -m benchmarks.stacks DATA OUT``.

Trains a `phc_snn.StackedSNN` of each neuron with each seed by AdamW, and lowers the learning rate
where the validation accuracy does not rise, as the published programs do (Bittar and Garner 2022);
where there is no validation part, where the loss does not fall. The epoch that validates best is
tested, without validation the last one. Sequences are evaluated whole, which has the bits of step
by step.

``OUT`` gets a folder for each run, which is not done twice, and ``results.json``;
``python -m benchmarks.results_page keep OUT NAME`` keeps that.
"""

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import phc_snn as phc
from benchmarks.ablations import named
from phc_snn.data import event_loader
from phc_snn.files import write_json
from phc_snn.training.batches import training_loader
from phc_snn.training.recordings import Recordings, read_recordings
from phc_snn.training.result import best_epoch
from phc_snn.training.run import machine, versions
from phc_snn.training.sweep import RESULTS, Run, grouped
from phc_snn.training.train import REPORT

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Settings:
    """Of a run, beside neuron and seed.

    Attributes:
        data: As `read_recordings`.
        hidden: Neurons of each hidden layer.
        dropout: As `StackedSNN`.
        options: Of each neuron that has some, by its name.
        epochs: Passes over the training part.
        batch_size: Recordings in a step.
        learning_rate: Of AdamW, at the start.
        weight_decay: Of AdamW.
        factor: By which the learning rate falls.
        patience: Epochs without a rise before it does.
        threads: Of torch.
    """

    data: str
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.1
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    factor: float = 0.7
    patience: int = 1
    threads: int = 1


SETTINGS = {
    "fsdd": Settings("fsdd"),
    "nmnist": Settings("nmnist", epochs=60),
    "psmnist": Settings("psmnist", hidden=(64, 64), epochs=8, batch_size=50),
}
"""Of each set."""


def train(
    settings: Settings, recordings: Recordings, neuron: str, seed: int
) -> tuple[phc.StackedSNN, dict[str, Any]]:
    """A trained stack, in evaluation, and how the training went."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(seed)  # of the dropout
    model = phc.StackedSNN(
        recordings.features,
        len(recordings.classes),
        hidden=settings.hidden,
        neuron=neuron,
        dropout=settings.dropout,
        generator=torch.Generator().manual_seed(seed),
        **settings.options.get(neuron, {}),
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=settings.factor, patience=settings.patience
    )
    loader = training_loader(recordings.train, batch_size=settings.batch_size, seed=seed)
    losses: list[float] = []
    validation: list[float] = []
    best: dict[str, Any] = {}
    began = time.perf_counter()
    for epoch in range(settings.epochs):
        losses.append(_pass(model, loader, optimizer, epoch))
        if recordings.validation is not None:
            validation.append(accuracy(model, recordings.validation))
            if best_epoch(validation) == len(validation):
                best = copy.deepcopy(model.state_dict())
        schedule.step(validation[-1] if validation else -losses[-1])
    seconds = time.perf_counter() - began
    if best:
        model.load_state_dict(best)
    about = {"losses": losses, "validation": validation, "seconds": seconds}
    return model.eval(), {**about, "best_epoch": best_epoch(validation)}


def _pass(model: phc.StackedSNN, loader: Any, optimizer: torch.optim.Optimizer, epoch: int) -> Any:
    """Mean loss of one pass over the training part."""
    model.train()
    loader.sampler.set_epoch(epoch)
    total = 0.0
    for x, lengths, labels in (batch[:3] for batch in loader):
        loss = model.loss(model(x, lengths=lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
    return total / len(loader)


@torch.no_grad()
def accuracy(model: phc.StackedSNN, recordings: Any) -> float:
    """Part of the recordings that are decided right."""
    model.eval()
    right = 0
    for batch in event_loader(recordings, batch_size=100):
        decided = model(batch.frames, lengths=batch.lengths).logits.argmax(-1)
        right += int((decided == batch.labels).sum())
    return right / len(recordings)


def run(settings: Settings, data_dir: Path, neuron: str, seed: int, folder: Path) -> Run:
    """Train and test one stack, or read what did so before."""
    own = {"neuron": neuron, "seed": seed}
    report = folder / named(own) / REPORT
    if not report.exists():
        recordings = read_recordings(settings.data, data_dir, seed=seed)
        model, training = train(settings, recordings, neuron, seed)
        found = {
            "config": json.loads(json.dumps(asdict(settings))) | own,
            "model": model.config(),
            "parameters": model.count_parameters().trainable,
            "training": training,
            "test": accuracy(model, recordings.test),
            "data": recordings.about,
            "machine": machine("cpu"),
            "versions": versions(),
        }
        report.parent.mkdir(parents=True, exist_ok=True)
        write_json(report, found)
    found = json.loads(report.read_text(encoding="utf-8"))
    if found["config"] != json.loads(json.dumps(asdict(settings))) | own:
        raise ValueError(
            f"out: {report.parent} holds a run of other settings; choose another folder"
        )
    training = found["training"]
    return Run(
        report.parent.name,
        own,
        max(training["validation"], default=None),
        found["test"],
        found["parameters"],
        training["seconds"],
    )


def benchmark(
    settings: Settings, data_dir: Path, neurons: list[str], seeds: list[int], folder: Path
) -> dict[str, Any]:
    """Train all, and sum up: the contents of ``results.json``."""
    runs = []
    for neuron in neurons:
        for seed in seeds:
            runs.append(run(settings, data_dir, neuron, seed, folder))
            print(runs[-1], flush=True)
    found = {
        "settings": asdict(settings),
        "grid": {"neuron": neurons, "seed": seeds},
        "groups": [
            {
                "settings": group.settings,
                "validation": group.validation,
                "test": group.test,
                "runs": [vars(each) for each in group.runs],
            }
            for group in grouped(runs)
        ],
    }
    write_json(folder / RESULTS, found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=sorted(SETTINGS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--neurons", nargs="+", default=["silif", "csilif"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--epochs", type=int, help="other than the set's own")
    arguments = parser.parse_args()
    settings = SETTINGS[arguments.data]
    if arguments.epochs is not None:
        settings = replace(settings, epochs=arguments.epochs)
    benchmark(settings, arguments.data_dir, arguments.neurons, arguments.seeds, arguments.out)


if __name__ == "__main__":
    main()
