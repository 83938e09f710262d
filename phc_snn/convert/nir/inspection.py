"""What an HDF5 file would do if it were read, found out without reading it."""

import math
import zlib
from dataclasses import dataclass
from typing import Any

from phc_snn.extras import require

_TYPES = {
    *("Input", "Output", "NIRGraph"),
    *("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten"),
    *("CubaLI", "CubaLIF", "I", "IF", "LI", "LIF", "Threshold", "Delay"),
}
_FIELDS = 32
"""Most entries of one node; NIR's largest has ten."""
_NAME = 256
"""Longest name, in bytes."""


@dataclass(frozen=True)
class Limits:
    """See `read_nir`."""

    max_bytes: int
    max_depth: int
    max_nodes: int
    max_edges: int


def inspect(file: Any, size: int, limits: Limits) -> None:
    """Look through an open ``h5py.File`` of ``size`` bytes.

    Raises:
        ValueError: What is wrong, and where.
    """
    _Inspection(file, size, limits).root()


class _Inspection:
    def __init__(self, file: Any, size: int, limits: Limits) -> None:
        self.h5py = require("h5py", extra="export")
        self.file, self.size, self.limits = file, size, limits
        self.seen: set[int] = set()
        self.bytes = self.nodes = self.edges = 0

    def root(self) -> None:
        self._once(self.file.id, b".", "/")
        members = self._members(self.file.id, "/", _FIELDS)
        for name in ("version", "node"):
            if name not in members:
                raise ValueError(f"/: has no {name!r}, which a NIR file has")
        version = self._text(self._dataset(self.file.id, "version", "/version"), "/version")
        if len(version) != 1:
            raise ValueError("/version: expected one string")
        kind = self._node(self.file.id, "node", "/node", 0)
        if kind != "NIRGraph":
            raise ValueError(f"/node: is a {kind}, expected a NIRGraph")

    def _node(self, parent: Any, name: str, where: str, depth: int) -> str:
        self.nodes += 1
        self._expect(self.nodes, self.limits.max_nodes, "max_nodes", "nodes")
        if depth > self.limits.max_depth:
            raise ValueError(
                f"{where}: lies in {depth} graphs, expected max_depth={self.limits.max_depth} at "
                "most"
            )
        group = self._group(parent, name, where)
        members = self._members(group, where, _FIELDS)
        if members.get("type") != self.h5py.h5o.TYPE_DATASET:
            raise ValueError(f"{where}: has no 'type', expected the name of a NIR node")
        found = self._text(self._dataset(group, "type", f"{where}/type"), f"{where}/type")
        if len(found) != 1 or found[0] not in _TYPES:
            raise ValueError(
                f"{where}/type: got {', '.join(found)!r}, expected one of "
                + ", ".join(sorted(_TYPES))
            )
        for field, kind in members.items():
            inner = f"{where}/{field}"
            if field == "type":
                continue
            if field == "metadata":
                self._metadata(group, field, inner)
            elif found[0] == "NIRGraph" and field == "nodes":
                self._graph(group, inner, depth)
            elif kind != self.h5py.h5o.TYPE_DATASET:
                raise ValueError(f"{inner}: is a group, expected a value")
            else:
                self._value(group, field, inner, edges=field == "edges")
        if found[0] == "NIRGraph" and not {"nodes", "edges"} <= set(members):
            raise ValueError(f"{where}: is a NIRGraph without 'nodes' or 'edges'")
        return found[0]

    def _graph(self, group: Any, where: str, depth: int) -> None:
        nodes = self._group(group, "nodes", where)
        for name in self._members(nodes, where, self.limits.max_nodes):
            self._node(nodes, name, f"{where}/{name}", depth + 1)

    def _metadata(self, group: Any, name: str, where: str) -> None:
        inside = self._group(group, name, where)
        for key in self._members(inside, where, _FIELDS):
            self._value(inside, key, f"{where}/{key}")

    def _value(self, group: Any, name: str, where: str, edges: bool = False) -> None:
        dataset = self._dataset(group, name, where)
        shape: tuple[int, ...] = dataset.shape or ()
        if edges and shape != (0,):
            if len(shape) != 2 or shape[1] != 2:
                raise ValueError(f"{where}: has shape {shape}, expected (edges, 2)")
            self.edges += shape[0]
            self._expect(self.edges, self.limits.max_edges, "max_edges", "edges")
        if dataset.get_type().get_class() == self.h5py.h5t.STRING:
            self._text(dataset, where, most=2 * self.limits.max_edges if edges else _FIELDS)
        elif edges and shape != (0,):
            raise ValueError(f"{where}: has no text, expected pairs of names")

    def _members(self, group: Any, where: str, most: int) -> dict[str, int]:
        """Names of what is in a group and what each is, once every link is a hard one."""
        count = group.get_num_objs()
        if count > most:
            raise ValueError(f"{where}: has {count} entries, expected at most {most}")
        found = {}
        for raw in list(group):
            name = raw.decode("utf8", "strict")
            if not name.isprintable() or len(raw) > _NAME:
                raise ValueError(
                    f"{where}: has an entry named {name[:40]!r}, expected printable names of at "
                    f"most {_NAME} bytes"
                )
            kind = group.links.get_info(raw).type
            if kind != self.h5py.h5l.TYPE_HARD:
                words = {
                    self.h5py.h5l.TYPE_SOFT: "a soft link",
                    self.h5py.h5l.TYPE_EXTERNAL: "a link to another file",
                }
                word = words.get(kind, "a link of an unknown kind")
                raise ValueError(f"{where}/{name}: is {word}, expected the thing itself")
            found[name] = self._once(group, raw, f"{where}/{name}")
        return found

    def _once(self, group: Any, name: bytes, where: str) -> int:
        """What an entry is; refused if it was met before."""
        info = self.h5py.h5o.get_info(group, name)
        if info.addr in self.seen:
            raise ValueError(f"{where}: has another name in the file too, expected a tree")
        self.seen.add(info.addr)
        if info.type not in (self.h5py.h5o.TYPE_GROUP, self.h5py.h5o.TYPE_DATASET):
            raise ValueError(f"{where}: is neither a group nor a dataset")
        kind: int = info.type
        return kind

    def _group(self, parent: Any, name: str, where: str) -> Any:
        opened = self.h5py.h5o.open(parent, name.encode())
        if not isinstance(opened, self.h5py.h5g.GroupID):
            raise ValueError(f"{where}: is a dataset, expected a group")
        return opened

    def _dataset(self, parent: Any, name: str, where: str) -> Any:
        """A dataset, once its type, place and sizes are in order; nothing of it is read."""
        opened = self.h5py.h5o.open(parent, name.encode())
        if not isinstance(opened, self.h5py.h5d.DatasetID):
            raise ValueError(f"{where}: is a group, expected a value")
        item = self._item_size(opened.get_type(), where)
        plan = opened.get_create_plist()
        h5d = self.h5py.h5d
        if plan.get_layout() == h5d.VIRTUAL:
            raise ValueError(f"{where}: is a virtual dataset, expected the values themselves")
        if plan.get_external_count():
            raise ValueError(f"{where}: is stored in another file, expected the values themselves")
        declared = 0 if opened.shape is None else math.prod(opened.shape) * item
        if plan.get_layout() == h5d.CHUNKED:
            chunk = math.prod(plan.get_chunk()) * item
            blocks = math.prod(
                -(-n // c) for n, c in zip(opened.shape, plan.get_chunk(), strict=True)
            )
            declared = max(declared, blocks * chunk)
            self._count(declared, where)
            self._check_blocks(opened, plan, chunk, blocks, where)
        else:
            self._count(declared, where)
        return opened

    def _item_size(self, kind: Any, where: str) -> int:
        h5t = self.h5py.h5t
        allowed = (h5t.INTEGER, h5t.FLOAT, h5t.STRING)
        # h5py writes bool as an enumeration of two.
        is_bool = kind.get_class() == h5t.ENUM and kind.get_size() == 1 and kind.get_nmembers() == 2
        if kind.get_class() not in allowed and not is_bool:
            raise ValueError(f"{where}: holds neither numbers nor text, expected one of them")
        size: int = kind.get_size()
        return size

    def _count(self, size: int, where: str) -> None:
        self.bytes += size
        if self.bytes > self.limits.max_bytes:
            raise ValueError(
                f"{where}: declares {size} bytes, all so far {self.bytes}, expected at most "
                f"max_bytes={self.limits.max_bytes}"
            )

    def _check_blocks(self, dataset: Any, plan: Any, size: int, most: int, where: str) -> None:
        """Every stored block unpacks to what a block has, no more; unpacked here to see it."""
        h5z = self.h5py.h5z
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if filters not in ([], [h5z.FILTER_DEFLATE], [h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE]):
            raise ValueError(
                f"{where}: is packed by filters {filters}, expected gzip, as nir.write packs"
            )
        blocks: list[Any] = []
        dataset.chunk_iter(blocks.append)
        stored = sum(block.size for block in blocks)
        if len(blocks) > most or stored > self.size:
            raise ValueError(
                f"{where}: has {len(blocks)} blocks of {stored} bytes in all, expected {most} at "
                "most, within the file"
            )
        for block in blocks:
            skipped, packed = dataset.read_direct_chunk(block.chunk_offset)
            unpacked = len(packed)
            if filters and not skipped >> (len(filters) - 1) & 1:
                unpacked = self._unpacked(packed, size, where)
            if unpacked > size:
                raise ValueError(
                    f"{where}: a block unpacks to more than the {size} bytes that it declares"
                )

    def _unpacked(self, packed: bytes, size: int, where: str) -> int:
        try:
            return len(zlib.decompressobj().decompress(packed, size + 1))
        except zlib.error as error:
            raise ValueError(f"{where}: a packed block is damaged ({error})") from error

    def _text(self, dataset: Any, where: str, most: int = _FIELDS) -> list[str]:
        """The strings of a dataset, one after the other: each can be as long as the file."""
        found = []
        values = self.h5py.Dataset(dataset)
        if dataset.get_type().get_class() != self.h5py.h5t.STRING:
            raise ValueError(f"{where}: has no text, expected some")
        count = 0 if values.shape is None else math.prod(values.shape)
        if count > most:
            raise ValueError(f"{where}: has {count} texts, expected at most {most}")
        for i in range(count):
            raw = values[tuple(_unravel(i, values.shape))]
            self._count(len(raw), where)
            if len(raw) > _NAME * 4:
                raise ValueError(f"{where}: has a text of {len(raw)} bytes, expected {_NAME * 4}")
            found.append(raw.decode("utf8") if isinstance(raw, bytes) else str(raw))
        return found

    def _expect(self, count: int, most: int, limit: str, what: str) -> None:
        if count > most:
            raise ValueError(f"/node: has {count} {what} or more, expected at most {limit}={most}")


def _unravel(index: int, shape: tuple[int, ...]) -> list[int]:
    """Coordinates of the element number ``index``."""
    found = []
    for length in reversed(shape):
        index, rest = divmod(index, length)
        found.append(rest)
    return found[::-1]
