"""N-MNIST against a plain snnTorch network: ``uv run python -m benchmarks.nmnist FOLDER``.

Both see the same frames, have about as many parameters, and train for the same wall time on the
same threads: ours for the epochs of the command line, the peer for the seconds that this took.
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import median
from typing import Any

import snntorch as snn
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import phc_snn as phc
from phc_snn.data import event_loader
from phc_snn.training.recordings import Recordings, read_recordings
from phc_snn.training.train import TrainConfig, evaluate, fit_recordings


class SnnTorchNet(nn.Module):
    """Linear, Leaky, Linear, Leaky; the decision is the output membrane's mean over own steps."""

    def __init__(self, features: int, classes: int, parameters: int) -> None:
        super().__init__()
        hidden = (parameters - classes) // (features + classes + 2)
        self.hidden, self.out = nn.Linear(features, hidden), nn.Linear(hidden, classes)
        self.cells = nn.ModuleList(
            [
                snn.Leaky(beta=torch.full((hidden,), 0.9), learn_beta=True),
                snn.Leaky(beta=0.9, learn_beta=True, reset_mechanism="none"),
            ]
        )

    def forward(self, x_seq: Tensor, mask: Tensor) -> Tensor:
        first, second = self.cells
        membrane, out = first.init_leaky(), second.init_leaky()
        membranes = []
        for x_t in self.hidden(x_seq).unbind(0):
            spikes, membrane = first(x_t, membrane)
            _, out = second(self.out(spikes), out)
            membranes.append(out)
        own = mask[..., None]
        return (torch.stack(membranes) * own).sum(0) / own.sum(0)


def train_peer(
    recordings: Recordings, config: TrainConfig, seconds: float, parameters: int, rate: float
) -> tuple[SnnTorchNet, int]:
    """A peer trained for ``seconds``, and the epochs that it took in them."""
    torch.manual_seed(config.seed)
    net = SnnTorchNet(recordings.features, len(recordings.classes), parameters)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    loader = event_loader(recordings.train, batch_size=config.batch_size, shuffle=True)
    began = time.perf_counter()
    epochs = 0
    while True:
        for batch in loader:
            done = (time.perf_counter() - began) / seconds
            if done >= 1.0:
                return net.eval(), epochs
            for group in optimizer.param_groups:  # a cosine, as ours has over its epochs
                group["lr"] = 0.5 * rate * (1.0 + math.cos(math.pi * done))
            x = nn.functional.dropout(batch.frames, config.dropout)
            loss = nn.functional.cross_entropy(
                net(x, batch.mask), batch.labels, label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epochs += 1


@torch.no_grad()
def peer_accuracy(net: SnnTorchNet, recordings: Any) -> float:
    right = total = 0
    for batch in event_loader(recordings, batch_size=100):
        right += int((net(batch.frames, batch.mask).argmax(-1) == batch.labels).sum())
        total += len(batch.labels)
    return right / total


def row(recordings: Recordings, config: TrainConfig, rate: float) -> dict[str, float]:
    """Both networks, one seed."""
    model, result = fit_recordings(config, recordings)
    count = model.count_parameters().trainable
    net, epochs = train_peer(recordings, config, result.seconds, count, rate)
    return {
        "seed": config.seed,
        "parallel": evaluate(model, recordings.test, config.make_solver()).accuracy,
        "sequential": evaluate(model, recordings.test, phc.Sequential()).accuracy,
        "snntorch": peer_accuracy(net, recordings.test),
        "seconds": result.seconds,
        "epochs": result.epochs,
        "epochs_of_snntorch": epochs,
        "parameters": count,
        "parameters_of_snntorch": sum(p.numel() for p in net.parameters()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds NMNIST/Train and NMNIST/Test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate of the peer")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(TrainConfig.threads)
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        config = TrainConfig(data_dir=arguments.folder, seed=seed, epochs=arguments.epochs)
        # Anew for each: the shifts of the training recordings go on from epoch to epoch.
        recordings = read_recordings("nmnist", arguments.folder, seed=seed)
        rows.append(row(recordings, config, arguments.rate))
    console = Console()
    table = Table(title="Test accuracy on N-MNIST", caption="Same frames, threads and seconds.")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    medians = {name: median(r[name] for r in rows) for name in rows[0]}
    for values in rows:
        table.add_row(*(f"{value:g}" for value in values.values()))
    table.add_section()
    table.add_row("median", *(f"{value:g}" for value in list(medians.values())[1:]))
    console.print(table)
    if arguments.out is not None:
        versions = {"torch": torch.__version__, "snntorch": snn.__version__}
        content = {"versions": versions, "threads": torch.get_num_threads(), "runs": rows}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
