"""One adaptive neuron under a current step: what each of its three recurrences does.

Run:  uv run python examples/01_alif_neuron.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc


def main(out: Path, steps: int = 150) -> None:
    neuron = phc.ALIF(
        1,
        membrane_decay=0.9,
        adaptation_time=30.0,
        adaptation_strength=1.5,
        suppression_strength=0.4,
    )
    current = torch.zeros(steps, 1, 1)
    current[steps // 6 : 5 * steps // 6] = 0.3

    state, rows = neuron.initial_state(1), []
    with torch.no_grad():
        for x_t in current.unbind(0):
            spikes, voltage, state = neuron.step(x_t, state)
            rows.append(torch.cat([*state, voltage, spikes], dim=1)[0])
    adaptation, suppression, membrane, voltage, spikes = torch.stack(rows).unbind(1)

    figure = Figure(figsize=(8, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot(membrane, label="membrane V")
    top.plot(1.5 * adaptation, label="adaptation, beta th")
    top.plot(suppression, label="suppression Vr")
    top.plot(voltage, label="voltage V - beta th - Vr", color="black", linewidth=1)
    top.axhline(1.0, color="grey", linestyle=":", label="threshold")
    top.legend(fontsize=8, loc="upper left")
    bottom.vlines(spikes.nonzero().flatten(), 0, 1, color="black", linewidth=1)
    bottom.plot(current[:, 0, 0], color="tab:green", label="current")
    bottom.set(xlabel="time step", yticks=[])
    bottom.legend(fontsize=8, loc="upper left")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "alif_neuron.png", dpi=130)
    first, second = spikes[: steps // 2].sum(), spikes[steps // 2 :].sum()
    print(f"Spikes in the first half: {first:.0f}, in the second half, adapted: {second:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    main(parser.parse_args().out)
