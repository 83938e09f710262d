"""``phc-snn export-c``."""

from phc_snn.commands.app import app, console, interruptible, new_table, print_folder
from phc_snn.commands.options import command
from phc_snn.firmware.job import ExportConfig, Exported, export_run


@command(app, ExportConfig)
def export_c(config: ExportConfig) -> None:
    """Write a trained network as C99 for a microcontroller, bit for bit.

    Prints what it takes there, and how far its arithmetic is from that of torch.
    """
    with interruptible():
        done = export_run(config, lambda text: console.print(f"[dim]{text} ...[/dim]"))
    _print(done)
    print_folder("C code", done.library.folder)


def _print(done: Exported) -> None:
    library = done.library
    if library.budget is not None:
        budget, table = library.budget, new_table(library.name, "", ("", "bytes"))
        table.add_row("flash", f"{budget.flash:,}")
        table.add_row("state", f"{budget.state:,}")
        table.add_row("stack", f"{budget.stack:,}")
        console.print(table)
        console.print(
            f"{library.connections:,} connections; a step takes {budget.instructions:,} "
            "instructions on a Cortex-M4F, counted by QEMU."
        )
    if library.deviation is not None:
        d = library.deviation
        console.print(
            f"Beside torch, over {d.steps:,} neuron-steps: {d.differing_spikes:,} spikes differ, "
            f"voltages by at most {d.voltage_max:.1e}; {100 * d.decisions:.1f} % of the decisions "
            "are the same."
        )
    for found in done.verified:
        differing = sum(found.differing.values())
        console.print(
            f"{found.target}: {differing:,} of {found.values:,} numbers differ in a bit; "
            f"{100 * found.decisions:.1f} % of the decisions are the same."
        )
    for note in done.notes:
        console.print(f"[yellow]{note}[/yellow]")
