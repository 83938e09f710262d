"""Train one network with 4 sweeps and one with Exact, deploy both step by step, see what changes.

Run:  uv run python examples/04_exact_training.py [--small] [--seed 0] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc
from phc_snn.data import load_uea

COLOURS = {"4 sweeps": "#d1495b", "Exact": "#2e86ab"}


def gradient(
    model: phc.PHCSSM, x: torch.Tensor, y: torch.Tensor, solver: phc.Solver
) -> torch.Tensor:
    """The gradient of the training loss in all parameters, as one vector."""
    model.zero_grad()
    model.loss(model(x, solver=solver), y).backward()
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(found)


def train(solver: phc.Solver, x: torch.Tensor, y: torch.Tensor, steps: int, seed: int):
    """A trained network, and how far its gradient was from backpropagation through time."""
    generator = torch.Generator().manual_seed(seed)
    model = phc.PHCSSM(x.shape[-1], 4, neurons=32, solver=solver, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    errors = {}
    for step in range(steps):
        chosen = torch.randperm(len(y), generator=generator)[:20]
        batch, labels = x[:, chosen], y[chosen]
        if step % max(steps // 20, 1) == 0:
            truth = gradient(model, batch, labels, phc.Sequential())
            error = gradient(model, batch, labels, solver) - truth
            errors[step] = float(error.norm() / truth.norm())
        optimizer.zero_grad()
        model.loss(model(batch), labels).backward()
        optimizer.step()
        schedule.step()
    return model.eval(), errors


def main(out: Path, small: bool = False, seed: int = 0) -> None:
    torch.set_num_threads(1)
    data = load_uea("BasicMotions").standardized()
    train_x, test_x = data.train_x.transpose(0, 1), data.test_x.transpose(0, 1)
    steps = 4 if small else 300
    figure = Figure(figsize=(10, 4), layout="constrained")
    bars, curve = figure.subplots(1, 2)
    for name, solver in (("4 sweeps", phc.Jacobi(4)), ("Exact", phc.Exact())):
        model, errors = train(solver, train_x, data.train_y, steps, seed)
        found = phc.measure_divergence(model, test_x, solvers={name: solver}, sweeps=0)
        parallel, deployed = found.solvers[name], found.reference
        differing = parallel.solution.spikes != deployed.solution.spikes
        in_each = differing.sum(dim=(0, 2)).sort(descending=True).values
        print(
            f"trained with {name}: accuracy {parallel.accuracy(data.test_y):.3f} in parallel, "
            f"{deployed.accuracy(data.test_y):.3f} step by step; "
            f"{parallel.differing_spikes} spikes differ; gradient off by up to "
            f"{max(errors.values()):.1e} of backpropagation through time"
        )
        bars.bar(
            range(len(in_each)),
            in_each.tolist(),
            color=COLOURS[name],
            label=f"{name}: {parallel.differing_spikes} in all",
        )
        curve.semilogy(
            list(errors), list(errors.values()), marker="o", color=COLOURS[name], label=name
        )
    bars.set(
        xlabel="test sample, sorted",
        ylabel="differing spikes",
        title="Spikes that change with deployment",
    )
    curve.set(
        xlabel="training step",
        ylabel="relative error",
        title="Gradient against backpropagation through time",
    )
    for axes in (bars, curve):
        axes.legend(loc="upper left")
        axes.grid(alpha=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "exact_training.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small, arguments.seed)
