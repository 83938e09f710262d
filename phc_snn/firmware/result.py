"""What is known of an exported library."""

from dataclasses import dataclass
from pathlib import Path

from phc_snn.firmware.budget import Budget

FLASH, RAM = 128 * 1024, 40 * 1024
"""Bytes of the microcontroller that the published work names."""
_NEAR = 0.8
"""Share of a budget from which on it is worth a warning."""


@dataclass(frozen=True)
class Deviation:
    """How far the arithmetic of the C code is from that of the torch modes, on some input.

    Attributes:
        steps: Neuron-steps that were compared.
        differing_spikes: Neuron-steps at which one fires and the other does not.
        voltage_rmse, voltage_max: Of the voltages.
        decisions: Share of samples on which both decide alike.
    """

    steps: int
    differing_spikes: int
    voltage_rmse: float
    voltage_max: float
    decisions: float


@dataclass(frozen=True)
class CLibrary:
    """What `export_c` wrote.

    Attributes:
        folder: Where.
        name: Prefix of every symbol, and of the files.
        version: Of phc_snn.
        weight_hash: SHA-256 of the weights.
        build: A hash of header and source, which both have, and the metadata.
        states: Names of what the state holds of each neuron, beside voltage and spikes.
        connections: Weights of the connectome that are not zero.
        selftest_spikes: Spikes that the connectome passes on in the self-test.
        budget: On the microcontroller; None without its compiler and QEMU.
        unmeasured: Why there is no budget.
        deviation: From the torch modes; None without input to measure it on.
    """

    folder: Path
    name: str
    version: str
    weight_hash: str
    build: str
    states: tuple[str, ...]
    connections: int
    selftest_spikes: int
    budget: Budget | None
    unmeasured: str
    deviation: Deviation | None

    def warnings(self, flash: int = FLASH, ram: int = RAM) -> list[str]:
        """What exceeds a budget of bytes or is above 80 % of it, and what is not known."""
        found = []
        if not self.selftest_spikes:
            found.append(
                "no neuron fires in the self-test, which then computes nothing of the connectome; "
                "the network may be silent"
            )
        if self.budget is None:
            return [*found, f"flash, stack and instructions were not measured: {self.unmeasured}"]
        used = {
            "flash": (self.budget.flash, flash),
            "RAM": (self.budget.state + self.budget.stack, ram),
        }
        for name, (bytes_used, limit) in used.items():
            if bytes_used > limit:
                found.append(f"{name}: {bytes_used:,} bytes exceed the budget of {limit:,}")
            elif bytes_used > _NEAR * limit:
                found.append(f"{name}: {bytes_used:,} bytes come near the budget of {limit:,}")
        return found
