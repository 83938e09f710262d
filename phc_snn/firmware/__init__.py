"""The same weights on a microcontroller: a trained network as C99, bit for bit."""

from phc_snn.firmware.budget import Budget
from phc_snn.firmware.export import deviation, export_c
from phc_snn.firmware.reference import BitReference
from phc_snn.firmware.result import CLibrary, Deviation
from phc_snn.firmware.targets import CORTEX_A76, CORTEX_M4, GPU, HOST, Target
from phc_snn.firmware.verify import Verification, verify

__all__ = [
    "CORTEX_A76",
    "CORTEX_M4",
    "GPU",
    "HOST",
    "BitReference",
    "Budget",
    "CLibrary",
    "Deviation",
    "Target",
    "Verification",
    "deviation",
    "export_c",
    "verify",
]
