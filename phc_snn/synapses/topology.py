"""Who may connect to whom: regions, signs of neurons, and the mask (Chiang 2026, Table 2)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import check_features


@dataclass(frozen=True, eq=False)
class Topology:
    """Which connections exist, and the sign of each neuron.

    Build one with `feedforward`, `bidirectional`, `from_masks`, `from_edges` or `from_sparse`.

    Attributes:
        mask: (N, N) bool; row post, column pre: ``mask[i, j]`` is a connection from j to i. No
            neuron connects to itself.
        excitatory: (N,) bool; the others are inhibitory (Dale's law: one sign per neuron).
        region: (N,) integer, 0 ... R - 1. Region 0 takes the input, the last one is read out.

    Raises:
        TypeError, ValueError: Masks of a wrong kind or shape, self-connections, region numbers with
            gaps, or a region with no excitatory neuron.
    """

    mask: Tensor
    excitatory: Tensor
    region: Tensor

    def __post_init__(self) -> None:
        for name, shape in (("mask", None), ("excitatory", self.mask.shape[:1])):
            value: Tensor = getattr(self, name)
            if value.dtype != torch.bool:
                raise TypeError(f"{name}: got {value.dtype}, expected torch.bool")
            if shape is None and (value.dim() != 2 or value.shape[0] != value.shape[1]):
                raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected (N, N)")
            if shape is not None and value.shape != shape:
                raise ValueError(
                    f"{name}: got shape {tuple(value.shape)}, expected {tuple(shape)} as mask has"
                )
        if self.region.shape != self.excitatory.shape:
            raise ValueError(
                f"region: got shape {tuple(self.region.shape)}, expected "
                f"{tuple(self.excitatory.shape)} as excitatory has"
            )
        loops = int(self.mask.diagonal().sum())
        if loops:
            raise ValueError(
                f"mask: has {loops} self-connections, expected none; clear its diagonal with "
                "mask.fill_diagonal_(False)"
            )
        present = torch.unique(self.region).tolist()
        if present != list(range(len(present))):
            raise ValueError(f"region: got regions {present}, expected 0, 1, ... without a gap")
        for r in present:
            if not bool(self.excitatory[self.region == r].any()):
                raise ValueError(
                    f"region {r} has no excitatory neuron, expected at least one: make it "
                    "larger, or raise excitatory_fraction"
                )

    @property
    def features(self) -> int:
        """N, the number of neurons."""
        return self.mask.shape[0]

    @property
    def regions(self) -> int:
        """The number of regions."""
        return int(self.region.max()) + 1

    @property
    def inputs(self) -> Tensor:
        """(N,) bool: the neurons that take the input, the excitatory ones of region 0."""
        return self.excitatory & (self.region == 0)

    @property
    def readout(self) -> Tensor:
        """(N,) bool: the neurons that are read out, the excitatory ones of the last region."""
        return self.excitatory & (self.region == self.regions - 1)

    @classmethod
    def feedforward(
        cls,
        features: int,
        *,
        regions: int | Sequence[int] = 2,
        excitatory_fraction: float | Sequence[float] = 0.8,
    ) -> "Topology":
        """Regions in a chain, excitation forward only (M_topo 0).

        Region 0 has no excitatory connections within itself; the others have all kinds. From each
        region to the next: excitatory onto excitatory and inhibitory.

        Args:
            features: N, the number of neurons.
            regions: Their number (sizes as equal as can be), or their sizes.
            excitatory_fraction: Of each region, rounded down; one value or one for each region.
        """
        return cls._chain(features, regions, excitatory_fraction, feedback=False)

    @classmethod
    def bidirectional(
        cls,
        features: int,
        *,
        regions: int | Sequence[int] = 2,
        excitatory_fraction: float | Sequence[float] = 0.8,
    ) -> "Topology":
        """Regions in a chain, excitation forward and back (M_topo 1); arguments as `feedforward`.

        Every region has all kinds of connections within itself; neighbouring regions connect both
        ways, excitatory onto excitatory and inhibitory.
        """
        return cls._chain(features, regions, excitatory_fraction, feedback=True)

    @classmethod
    def from_masks(
        cls, mask: Tensor, excitatory: Tensor, region: Tensor | None = None
    ) -> "Topology":
        """From the masks themselves; without ``region`` all neurons are one region."""
        region = torch.zeros(len(excitatory), dtype=torch.long) if region is None else region
        return cls(mask, excitatory, region)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[int, int]],
        excitatory: Tensor,
        region: Tensor | None = None,
    ) -> "Topology":
        """From ``(pre, post)`` pairs, as connectome edge lists have them.

        Raises:
            ValueError: A neuron number outside ``0 ... N - 1``, N being the length of
                ``excitatory``.
        """
        features = len(excitatory)
        listed = list(edges)
        pairs = torch.tensor(listed) if listed else torch.zeros(0, 2, dtype=torch.long)
        if pairs.dim() != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
            raise ValueError(
                f"edges: got {listed[0]!r} and the like, expected (pre, post) pairs of integers"
            )
        outside = pairs[((pairs < 0) | (pairs >= features)).any(dim=1)]
        if len(outside):
            raise ValueError(
                f"edges: got {tuple(outside[0].tolist())}, expected neuron numbers from 0 to "
                f"{features - 1}, the length of excitatory"
            )
        mask = torch.zeros(features, features, dtype=torch.bool)
        mask[pairs[:, 1], pairs[:, 0]] = True
        return cls.from_masks(mask, excitatory, region)

    @classmethod
    def from_sparse(
        cls, matrix: Any, excitatory: Tensor, region: Tensor | None = None
    ) -> "Topology":
        """From a scipy sparse matrix (row post, column pre): nonzero entries are connections."""
        coordinates = matrix.tocoo()
        if coordinates.shape != (len(excitatory), len(excitatory)):
            raise ValueError(
                f"matrix: got shape {coordinates.shape}, expected {(len(excitatory),) * 2}, the "
                "length of excitatory"
            )
        present = coordinates.data != 0
        pre, post = coordinates.col[present].tolist(), coordinates.row[present].tolist()
        return cls.from_edges(zip(pre, post, strict=True), excitatory, region)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Topology":
        """From what `to_dict` returned."""
        try:
            edges, excitatory, region = (content[n] for n in ("edges", "excitatory", "region"))
            pairs = [(int(pre), int(post)) for pre, post in edges]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"content: not a topology written by to_dict ({error!r})") from error
        return cls.from_edges(
            pairs, torch.tensor(excitatory, dtype=torch.bool), torch.tensor(region)
        )

    def to_dict(self) -> dict[str, Any]:
        """The topology as JSON values: (pre, post) pairs, signs and regions."""
        post, pre = self.mask.nonzero(as_tuple=True)
        return {
            "edges": torch.stack([pre, post], dim=1).tolist(),
            "excitatory": self.excitatory.long().tolist(),
            "region": self.region.tolist(),
        }

    def thin_by_distance(
        self, positions: Tensor, length: float, *, generator: torch.Generator | None = None
    ) -> "Topology":
        """Keep each connection with probability ``exp(-distance / length)``.

        Args:
            positions: (N, dimensions) of the neurons, in the unit of ``length``.
            length: Space constant.
            generator: Source of randomness; torch's default one if None.
        """
        if positions.dim() != 2 or positions.shape[0] != self.features:
            raise ValueError(
                f"positions: got shape {tuple(positions.shape)}, expected "
                f"({self.features}, dimensions)"
            )
        if not length > 0:
            raise ValueError(f"length: got {length}, expected a positive space constant")
        probability = torch.exp(-torch.cdist(positions, positions) / length)
        kept = torch.rand(probability.shape, generator=generator) < probability
        return Topology(self.mask & kept, self.excitatory, self.region)

    def require_path(self) -> None:
        """Raise ValueError unless connections lead from an input to a readout neuron."""
        reached = self.inputs
        for _ in range(self.features):
            grown = reached | (self.mask & reached).any(dim=1)
            if bool((grown == reached).all()):
                break
            reached = grown
        if not bool((reached & self.readout).any()):
            raise ValueError(
                f"mask: no path leads from the {int(self.inputs.sum())} input neurons (excitatory, "
                f"region 0) to the {int(self.readout.sum())} readout neurons (excitatory, region "
                f"{self.regions - 1}), expected at least one; connect the regions"
            )

    @classmethod
    def _chain(
        cls,
        features: int,
        regions: int | Sequence[int],
        excitatory_fraction: float | Sequence[float],
        *,
        feedback: bool,
    ) -> "Topology":
        check_features(features)
        if isinstance(regions, int):
            if not 1 <= regions <= features:
                raise ValueError(
                    f"regions: got {regions}, expected 1 to {features}, the number of neurons"
                )
            small, larger = divmod(features, regions)
            sizes = [small + (r < larger) for r in range(regions)]
        else:
            sizes = list(regions)
        if sum(sizes) != features or min(sizes) < 1:
            raise ValueError(f"regions: got sizes {sizes}, expected them to add up to {features}")
        fractions = (
            [excitatory_fraction] * len(sizes)
            if isinstance(excitatory_fraction, (int, float))
            else list(excitatory_fraction)
        )
        if len(fractions) != len(sizes) or not all(0 <= f <= 1 for f in fractions):
            raise ValueError(
                f"excitatory_fraction: got {excitatory_fraction}, expected a value in [0, 1] for "
                f"each of {len(sizes)} regions"
            )
        region = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        # The small term keeps 0.8 * 15 = 12 from being rounded down to 11 by floating point.
        excitatory = torch.cat(
            [
                torch.arange(n) < math.floor(fraction * n + 1e-9)
                for n, fraction in zip(sizes, fractions, strict=True)
            ]
        )
        post, pre = region[:, None], region[None, :]
        within = post == pre
        if not feedback:
            within &= ~((post == 0) & excitatory[:, None] & excitatory[None, :])
        between = (post - pre).abs() == 1 if feedback else post - pre == 1
        mask = within | (between & excitatory[None, :])
        return cls(mask.fill_diagonal_(False), excitatory, region)
