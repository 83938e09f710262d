"""``phc-snn train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phc_snn.commands.app import (
    DeviceChoice,
    ReadoutChoice,
    SolverChoice,
    TopologyChoice,
    app,
    console,
    interruptible,
    new_table,
    print_folder,
    print_training,
)
from phc_snn.training.train import TrainConfig

if TYPE_CHECKING:
    from phc_snn.training.train import TrainResult

_D = TrainConfig()


@app.command()
def train(
    data: Annotated[
        str, typer.Option(help="Event set: nmnist, dvsgesture, shd, ssc; or a UEA set.")
    ] = _D.data,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the sets, as tonic or the archive has them.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.001, help="Time of an event frame, ms; else 10.")
    ] = None,
    downsample: Annotated[
        int | None,
        typer.Option(min=1, help="Sensor cells, each way, in one of a frame; else the set's own."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep event frames in; else nowhere.")
    ] = None,
    shift: Annotated[
        int | None, typer.Option(min=0, help="Cells to move recordings by in training.")
    ] = None,
    neurons: Annotated[int, typer.Option(min=1, help="Neurons in the network.")] = _D.neurons,
    topology: Annotated[
        TopologyChoice, typer.Option(help="Connections between regions.")
    ] = TopologyChoice.bidirectional,
    regions: Annotated[
        int, typer.Option(min=1, help="Of the neurons; the first takes the input.")
    ] = _D.regions,
    readout: Annotated[
        ReadoutChoice, typer.Option(help="What is averaged over time and read out.")
    ] = ReadoutChoice.spike,
    rate_target: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Firing rate to aim at, per step.")
    ] = _D.rate_target,
    delay: Annotated[int, typer.Option(min=1, help="Synaptic delay in time steps.")] = _D.delay,
    solver: Annotated[
        SolverChoice, typer.Option(help="Solver that trains, and the parallel mode.")
    ] = SolverChoice.jacobi,
    sweeps: Annotated[int, typer.Option(min=1, help="Sweeps of the jacobi solver.")] = _D.sweeps,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = _D.epochs,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Recordings in a training step.")
    ] = _D.batch_size,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, help="Of Adam, at the start.")
    ] = _D.learning_rate,
    dropout: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of inputs dropped in training.")
    ] = _D.dropout,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Weights, order, dropout.")
    ] = _D.seed,
    device: Annotated[DeviceChoice, typer.Option(help="Where to train.")] = DeviceChoice.cpu,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = _D.threads,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; else runs/<data>-<time>.")
    ] = None,
) -> None:
    """Train on recordings of any length, in parallel over time; test in parallel and step by step.

    Writes the trained model, the report and the command that repeats it. Ctrl-C ends the training
    early and keeps what was learned.
    """
    from phc_snn.training.train import train as run

    config = TrainConfig(
        data=data,
        data_dir=data_dir,
        window=window,
        downsample=downsample,
        cache=cache,
        shift=shift,
        neurons=neurons,
        topology=topology.value,
        regions=regions,
        readout=readout.value,
        rate_target=rate_target,
        delay=delay,
        solver=solver.value,
        sweeps=sweeps,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        seed=seed,
        device=device.value,
        threads=threads,
        out=out,
    )
    with interruptible():
        result = run(config)
    _print_result(result)


def _print_result(result: "TrainResult") -> None:
    first = next(iter(result.modes.values()))
    table = new_table(
        f"One network, two ways to run it ({len(first.decisions):,} test recordings)",
        f"Both decide alike on {100 * result.agreement:.0f} % of the recordings.",
        ("mode", "accuracy", "seconds"),
    )
    for name, mode in result.modes.items():
        table.add_row(name, f"{mode.accuracy:.3f}", f"{mode.seconds:.2f}")
    console.print(table)
    print_training(result.model, result.training)
    print_folder("Model, report and command", result.folder)
