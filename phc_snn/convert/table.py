"""Tables in plain text."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, columns: int | None = None) -> str:
    """Rows of cells as lines, each column as wide as its widest cell.

    Args:
        rows: The headings first.
        columns: Longest line; cells of the first column are cut where that is needed for it.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if columns is not None:
        others = sum(width + 2 for width in widths[1:])
        widths[0] = min(widths[0], max(columns - others, _NARROWEST))
    return "\n".join(
        "  ".join(
            _shortened(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


_NARROWEST = 9


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
