"""Tables of numbers as C99."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from phc_snn.firmware.printer import real


def _rows(items: Iterable[str]) -> list[str]:
    """Items with commas between them, in lines of up to 90 characters."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 90:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line]


class Tables:
    """Tables whose names begin with ``prefix``; it knows what it wrote.

    Attributes:
        words: Of every table the numbers as words of 32 bits: floats by their bits.
        hashing: Statements of C that hash all of them, in the same order.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.words: list[np.ndarray] = []
        self.hashing: list[str] = []

    def _lines(self, kind: str, name: str, shape: str, rows: list[str]) -> list[str]:
        p = self._prefix
        head = f"static const {p.upper()}_TABLE {kind} {p}_{name}{shape} = {{"
        return [head, *rows, "};", ""]

    def _floats(self, first: str, values: Tensor) -> Tensor:
        found = values.detach().cpu().to(torch.float32).contiguous()
        self.words.append(found.numpy().view(np.uint32).ravel())
        p = self._prefix
        self.hashing.append(f"hash = {p}_hash(hash, {p}_{first}, {found.numel()}u);")
        return found

    def vector(self, name: str, values: Tensor) -> list[str]:
        """Numbers."""
        numbers = [real(v) for v in self._floats(name, values).flatten().tolist()]
        return self._lines("float", name, f"[{len(numbers)}]", _rows(numbers))

    def matrix(self, name: str, values: Tensor) -> list[str]:
        """Rows of numbers."""
        rows, columns = values.shape
        lines = []
        for row in self._floats(f"{name}[0]", values).tolist():
            lines += ["  {", *_rows(map(real, row)), "  },"]
        return self._lines("float", name, f"[{rows}][{columns}]", lines)

    def integers(self, name: str, values: Sequence[int]) -> list[str]:
        """Numbers from 0 up, in as few bytes as they need."""
        most, p = max(values), self._prefix
        kind = "uint8_t" if most < 256 else "uint16_t" if most < 65536 else "uint32_t"
        self.words.append(np.array(values, np.uint32))
        self.hashing += [
            f"for (k = 0; k < {len(values)}u; ++k) {{",
            f"    hash = {p}_hash_word(hash, {p}_{name}[k]);",
            "}",
        ]
        return self._lines(kind, name, f"[{len(values)}]", _rows(map(str, values)))
