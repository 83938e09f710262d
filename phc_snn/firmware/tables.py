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


class Tables:
    """Tables whose names begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def _lines(self, kind: str, name: str, shape: str, rows: list[str]) -> list[str]:
        p = self._prefix
        head = f"static const {p.upper()}_TABLE {kind} {p}_{name}{shape} = {{"
        return [head, *rows, "};", ""]

    def vector(self, name: str, values: Tensor) -> list[str]:
        """Numbers."""
        numbers = [real(v) for v in values.detach().cpu().flatten().tolist()]
        return self._lines("float", name, f"[{len(numbers)}]", _rows(numbers))

    def matrix(self, name: str, values: Tensor) -> list[str]:
        """Rows of numbers."""
        rows, columns = values.shape
        lines = []
        for row in values.detach().cpu().tolist():
            lines += ["  {", *_rows(map(real, row)), "  },"]
        return self._lines("float", name, f"[{rows}][{columns}]", lines)

    def integers(self, name: str, values: Sequence[int]) -> list[str]:
        """Numbers from 0 up, in as few bytes as they need."""
        most = max(values)
        kind = "uint8_t" if most < 256 else "uint16_t" if most < 65536 else "uint32_t"
        return self._lines(kind, name, f"[{len(values)}]", _rows(map(str, values)))
