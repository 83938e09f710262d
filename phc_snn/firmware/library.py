"""What all parts of the C99 library of a network have to know."""

from dataclasses import dataclass

from phc_snn.firmware.plan import Plan
from phc_snn.models import PHCSSM

FLAGS = ("-std=c99", "-ffp-contract=off")
"""What a compiler has to be told. The source refuses what would change its arithmetic."""
BUILD = "@BUILD@"
"""Stands for the hash of both texts, until they are known."""


@dataclass(frozen=True)
class Library:
    """A plan, and the names of what is written for it.

    Attributes:
        plan: What has to be computed.
        prefix: Of every symbol.
        version: Of phc_snn.
        weight_hash: SHA-256 of the weights.
    """

    plan: Plan
    prefix: str
    version: str
    weight_hash: str

    @property
    def model(self) -> PHCSSM:
        return self.plan.model

    @property
    def big(self) -> str:
        """The prefix of macros."""
        return self.prefix.upper()

    @property
    def neurons(self) -> int:
        return self.model.network.features

    @property
    def read(self) -> int:
        """Neurons that are read out."""
        return self.model.decoder.in_features // self.model.windows
