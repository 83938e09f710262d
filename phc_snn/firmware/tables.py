"""Tables of numbers as C99."""

from collections.abc import Iterable, Sequence

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


def vector(name: str, values: Tensor) -> list[str]:
    """A table of numbers."""
    numbers = [real(v) for v in values.detach().cpu().flatten().tolist()]
    return [f"static const float {name}[{len(numbers)}] = {{", *_rows(numbers), "};", ""]


def matrix(name: str, values: Tensor) -> list[str]:
    """A table of rows of numbers."""
    rows, columns = values.shape
    lines = [f"static const float {name}[{rows}][{columns}] = {{"]
    for row in values.detach().cpu().tolist():
        lines += ["  {", *_rows(map(real, row)), "  },"]
    return [*lines, "};", ""]


def integers(name: str, values: Sequence[int]) -> list[str]:
    """A table of numbers from 0 up, in as few bytes as they need."""
    kind = "uint8_t" if max(values) < 256 else "uint16_t" if max(values) < 65536 else "uint32_t"
    return [f"static const {kind} {name}[{len(values)}] = {{", *_rows(map(str, values)), "};", ""]
