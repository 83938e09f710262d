"""Train a network, write it as C, and run it sample by sample on every machine that is at hand.

Run:  uv run python examples/13_train_to_microcontroller.py [--small] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import phc_snn as phc
from phc_snn.firmware import CORTEX_A76, CORTEX_M4, GPU, HOST, BitReference, verify


def gestures(count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three kinds of movement, as three axes of a sensor see them; time first."""
    labels = torch.arange(count) % 3
    time = torch.arange(steps)[:, None]
    phase = 6.3 * torch.rand(count, generator=generator)
    speed = torch.tensor([0.1, 0.25, 0.6])[labels]
    swing = torch.stack([torch.sin(speed * time + phase + k) for k in range(3)], -1)
    return swing + 0.5 * torch.randn(swing.shape, generator=generator), labels


def main(out: Path, small: bool = False) -> None:
    generator = torch.Generator().manual_seed(0)
    steps, epochs = (40, 30) if small else (100, 120)
    names = ["slow", "medium", "fast"]
    x, labels = gestures(60, steps, generator)
    test_x, test_labels = gestures(30, steps, generator)
    model = phc.PHCSSM(3, 3, neurons=16, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        optimizer.zero_grad()
        model.loss(model(x), labels).backward()
        optimizer.step()

    with torch.no_grad():
        decided = model(test_x, solver=phc.Sequential()).logits.argmax(-1)
    print(f"accuracy step by step: {float((decided == test_labels).double().mean()):.2f}")
    library = phc.export_c(model, out / "gesture", name="gesture", inputs=test_x, classes=names)
    print(f"{library.folder / 'gesture.c'}: {library.connections} connections; {library.budget}")
    for target in (HOST, CORTEX_A76, CORTEX_M4, GPU):
        if target.missing:
            print(f"{target.name}: {target.lacks}")
            continue
        found = verify(model, test_x, target)
        differing = sum(found.differing.values())
        print(f"{found.target}: {differing} of {found.values:,} numbers differ in a bit")

    # One recording, as it comes: a decision after every sample.
    reference, state, path = BitReference(model), None, []
    for x_t in test_x[:, :1].unbind(0):
        logits, state = reference.step(x_t, state)
        path.append(logits[0].softmax(0))
    figure = Figure(figsize=(7, 4), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    upper.plot(test_x[:, 0])
    upper.set(ylabel="sensor", title=f"A {names[int(test_labels[0])]} movement, sample by sample")
    lower.plot(torch.stack(path), label=names)
    lower.set(xlabel="time step", ylabel="share of the softmax", ylim=(0, 1))
    lower.legend(loc="center right")
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "train_to_microcontroller.png"
    figure.savefig(picture, dpi=130)
    print(f"picture: {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
