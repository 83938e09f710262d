"""The commands of ``phc-snn`` (typer and rich; extra ``cli``), one file each."""

from phc_snn.commands import compare, divergence, export_c, sweep, train
from phc_snn.commands.app import app

__all__ = ["app", "compare", "divergence", "export_c", "sweep", "train"]
