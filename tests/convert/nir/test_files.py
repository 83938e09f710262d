"""Files that do more than hold a network are refused before any of it is done."""

import contextlib
import os
import struct
import zlib

import numpy as np
import pytest

import phc_snn as phc
from phc_snn.convert.nir import from_nir, read_nir, write_nir

nir = pytest.importorskip("nir", reason="needs the extra 'export'")
h5py = pytest.importorskip("h5py", reason="needs the extra 'export'")
N = 8


@pytest.fixture
def path(tmp_path):
    """A good file of one layer, `node/nodes/layer_0`."""
    write_nir(tmp_path / "a.nir", phc.LIF(N, reset_mechanism="zero"), dt=1e-3)
    return tmp_path / "a.nir"


def lay(file, name="node/nodes/layer_0/tau"):
    """Take a value out, and say where it was."""
    del file[name]
    return name


def soft(file, tmp):
    file[lay(file)] = h5py.SoftLink("/node/nodes/layer_0/r")


def external(file, tmp):
    with h5py.File(tmp / "other.h5", "w") as other:
        other["tau"] = np.ones(N)
    file[lay(file)] = h5py.ExternalLink(str(tmp / "other.h5"), "tau")


def external_group(file, tmp):
    with h5py.File(tmp / "other.h5", "w") as other:
        other.create_group("nodes")
    file[lay(file, "node/nodes")] = h5py.ExternalLink(str(tmp / "other.h5"), "nodes")


def two_names(file, tmp):
    file[lay(file)] = file["node/nodes/layer_0/r"]


def circle(file, tmp):
    file["node/nodes/layer_0/tau2"] = file["node"]


def root_again(file, tmp):
    file["node/nodes/again"] = file["/"]


def virtual(file, tmp):
    with h5py.File(tmp / "other.h5", "w") as other:
        other["secret"] = np.ones(N)
    layout = h5py.VirtualLayout((N,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp / "other.h5"), "secret", (N,))
    file.create_virtual_dataset(lay(file), layout)


def stored_outside(file, tmp):
    (tmp / "secret").write_bytes(bytes(8 * N))
    file.create_dataset(lay(file), (N,), "f8", external=[(str(tmp / "secret"), 0, 8 * N)])


def references(file, tmp):
    file.create_dataset(lay(file), data=file.ref, dtype=h5py.ref_dtype)


def regions(file, tmp):
    region = file["node/nodes/layer_0/r"].regionref[:2]
    file.create_dataset(lay(file), data=region, dtype=h5py.regionref_dtype)


def ragged(file, tmp):
    dataset = file.create_dataset(lay(file), (N,), h5py.vlen_dtype(np.float64))
    dataset[0] = np.ones(3)


def compound(file, tmp):
    file.create_dataset(lay(file), data=np.zeros(N, [("a", "f8"), ("b", "i4")]))


def opaque(file, tmp):
    file.create_dataset(lay(file), data=np.zeros(N, "V16"))


def complex_numbers(file, tmp):
    file.create_dataset(lay(file), data=np.zeros(N, "c16"))


def enumeration(file, tmp):
    kind = h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, basetype="i1")
    file.create_dataset(lay(file), data=np.zeros(N, "i1"), dtype=kind)


def named_type(file, tmp):
    file["node/nodes/layer_0/kind"] = np.dtype("f8")


def huge(file, tmp):
    file.create_dataset(lay(file), (2**40,), "f8", chunks=(2**20,))


def huge_unchunked(file, tmp):
    file.create_dataset(lay(file), (2**20, 2**20), "f8")


def many_large(file, tmp):
    for i in range(5):
        file.create_dataset(f"node/nodes/layer_0/x{i}", (2**23,), "f8", chunks=(2**20,))


def huge_chunk(file, tmp):
    file.create_dataset(lay(file), (N,), "f8", maxshape=(None,), chunks=(2**28,))


def huge_string(file, tmp):
    file.create_dataset(lay(file), (), "S1000000000")


def long_text(file, tmp):
    file[lay(file, "node/nodes/layer_0/type")] = "L" * 2000


def many_texts(file, tmp):
    file[lay(file)] = ["a"] * 100


def lzf(file, tmp):
    file.create_dataset(lay(file), data=np.ones(N), compression="lzf")


def checksum(file, tmp):
    file.create_dataset(lay(file), data=np.ones(N), fletcher32=True)


def twice_packed(file, tmp):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((N,))
    plan.set_deflate(9)
    plan.set_deflate(9)
    name, space = lay(file), h5py.h5s.create_simple((N,))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, plan)


def packed(file, content):
    """A block of gzip's as the file says it was written."""
    dataset = file.create_dataset(lay(file), (N,), "f8", chunks=(N,), compression="gzip")
    dataset.id.write_direct_chunk((0,), content)


def bomb(file, tmp):
    packed(file, zlib.compress(bytes(2**26), 9))


def damaged_block(file, tmp):
    packed(file, b"no gzip")


def large_raw_block(file, tmp):
    dataset = file.create_dataset(lay(file), (N,), "f8", chunks=(N,), compression="gzip")
    dataset.id.write_direct_chunk((0,), bytes(8 * N + 1), filter_mask=1)


def unknown_type(file, tmp):
    file[lay(file, "node/nodes/layer_0/type")] = "__import__"


def no_type(file, tmp):
    lay(file, "node/nodes/layer_0/type")


def number_for_type(file, tmp):
    file[lay(file, "node/nodes/layer_0/type")] = 3


def group_for_type(file, tmp):
    file.create_group(lay(file, "node/nodes/layer_0/type"))


def two_types(file, tmp):
    file[lay(file, "node/nodes/layer_0/type")] = ["LIF", "LIF"]


def group_for_value(file, tmp):
    file.create_group(lay(file))


def value_for_group(file, tmp):
    file[lay(file, "node/nodes/layer_0")] = 3


def no_version(file, tmp):
    lay(file, "version")


def number_for_version(file, tmp):
    file[lay(file, "version")] = 1.0


def two_versions(file, tmp):
    file[lay(file, "version")] = ["1", "2"]


def no_node(file, tmp):
    lay(file, "node")


def no_edges(file, tmp):
    lay(file, "node/edges")


def top_is_a_neuron(file, tmp):
    file.move("node/nodes/layer_0", "other")
    lay(file, "node")
    file.move("other", "node")


def triples(file, tmp):
    file[lay(file, "node/edges")] = [["a", "b", "c"]]


def numbers_for_edges(file, tmp):
    file[lay(file, "node/edges")] = np.ones((3, 2))


def edge_to_nowhere(file, tmp):
    file[lay(file, "node/edges")] = [["input", "nobody"]]


def missing_field(file, tmp):
    lay(file)


def extra_field(file, tmp):
    file["node/nodes/layer_0/extra"] = 1.0


def type_check_field(file, tmp):
    file["node/type_check"] = False


def odd_name(file, tmp):
    file.move("node/nodes/layer_0", "node/nodes/layer\n0")


def long_name(file, tmp):
    file.move("node/nodes/layer_0", "node/nodes/" + "a" * 300)


def crowd(file, tmp):
    for i in range(40):
        file[f"node/nodes/layer_0/metadata/{i}"] = i


REFUSED = {
    soft: "/node/nodes/layer_0/tau: is a soft link, expected the thing itself",
    external: "/node/nodes/layer_0/tau: is a link to another file, expected the thing itself",
    external_group: "/node/nodes: is a link to another file",
    two_names: "/node/nodes/layer_0/tau: has another name in the file too, expected a tree",
    circle: "/node/nodes/layer_0/tau2: has another name in the file too",
    root_again: "/node/nodes/again: has another name in the file too",
    virtual: "layer_0/tau: is a virtual dataset, expected the values themselves",
    stored_outside: "layer_0/tau: is stored in another file, expected the values themselves",
    references: "layer_0/tau: holds neither numbers nor text",
    regions: "layer_0/tau: holds neither numbers nor text",
    ragged: "layer_0/tau: holds neither numbers nor text",
    compound: "layer_0/tau: holds neither numbers nor text",
    opaque: "layer_0/tau: holds neither numbers nor text",
    complex_numbers: "layer_0/tau: holds neither numbers nor text",
    enumeration: "layer_0/tau: holds neither numbers nor text",
    named_type: "layer_0/kind: is neither a group nor a dataset",
    huge: "layer_0/tau: declares 8796093022208 bytes, .* expected at most max_bytes=268435456",
    huge_unchunked: "layer_0/tau: declares 8796093022208 bytes",
    many_large: r"layer_0/x\d: declares 67108864 bytes, all so far 2684.*, expected at most",
    huge_chunk: "layer_0/tau: declares 2147483648 bytes",
    huge_string: "layer_0/tau: declares 1000000000 bytes",
    long_text: "layer_0/type: has a text of 2000 bytes, expected 1024",
    many_texts: "layer_0/tau: has 100 texts, expected at most 32",
    lzf: r"layer_0/tau: is packed by filters \[32000\], expected gzip",
    checksum: r"layer_0/tau: is packed by filters \[3\], expected gzip",
    twice_packed: r"layer_0/tau: is packed by filters \[1, 1\], expected gzip",
    bomb: "layer_0/tau: a block unpacks to more than the 64 bytes that it declares",
    damaged_block: "layer_0/tau: a packed block is damaged",
    large_raw_block: "layer_0/tau: a block unpacks to more than the 64 bytes that it declares",
    unknown_type: "layer_0/type: got '__import__', expected one of Affine, AvgPool2d",
    no_type: "layer_0: has no 'type', expected the name of a NIR node",
    number_for_type: "layer_0/type: has no text, expected some",
    group_for_type: "layer_0: has no 'type'",
    two_types: "layer_0/type: got 'LIF, LIF', expected one of",
    group_for_value: "layer_0/tau: is a group, expected a value",
    value_for_group: "layer_0: is a dataset, expected a group",
    no_version: "/: has no 'version', which a NIR file has",
    number_for_version: "/version: has no text, expected some",
    two_versions: "/version: expected one string",
    no_node: "/: has no 'node', which a NIR file has",
    no_edges: "/node: is a NIRGraph without 'nodes' or 'edges'",
    top_is_a_neuron: "/node: is a LIF, expected a NIRGraph",
    triples: r"/node/edges: has shape \(1, 3\), expected \(edges, 2\)",
    numbers_for_edges: "/node/edges: has no text, expected pairs of names",
    edge_to_nowhere: "references destination node 'nobody' which does not exist",
    missing_field: "missing 1 required positional argument: 'tau'",
    extra_field: "unexpected keyword argument 'extra'",
    type_check_field: "'type_check' key was found",
    odd_name: r"/node/nodes: has an entry named 'layer\\n0', expected printable names",
    long_name: "/node/nodes: has an entry named 'aaa.*of at most 256 bytes",
    crowd: "layer_0/metadata: has 40 entries, expected at most 32",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_refused(change, path, tmp_path):
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(ValueError, match=REFUSED[change]) as caught:
        read_nir(path)
    assert str(caught.value).startswith(f"{path}: not a NIR file to read: ")
    with pytest.raises(ValueError, match=REFUSED[change]):
        from_nir(path)


@pytest.mark.parametrize("change", [soft, external, circle, virtual, stored_outside, bomb, huge])
def test_nothing_is_read_before_all_has_passed(change, path, tmp_path, monkeypatch):
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    monkeypatch.setattr(nir, "read", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(ValueError, match="not a NIR file to read"):
        read_nir(path)


def nested(depth):
    graph = nir.NIRGraph.from_list(nir.Scale(np.ones(N)))
    for _ in range(depth):
        ends = {"input": nir.Input(np.array([N])), "output": nir.Output(np.array([N]))}
        graph = nir.NIRGraph(ends | {"g": graph}, [("input", "g"), ("g", "output")])
    return graph


def test_depth(tmp_path):
    write_nir(tmp_path / "deep.nir", nested(7))
    read_nir(tmp_path / "deep.nir")
    write_nir(tmp_path / "deeper.nir", nested(8))
    with pytest.raises(ValueError, match="lies in 9 graphs, expected max_depth=8 at most"):
        read_nir(tmp_path / "deeper.nir")
    read_nir(tmp_path / "deeper.nir", max_depth=9)


def test_limits(path):
    size = path.stat().st_size
    with pytest.raises(
        ValueError, match=f"has {size} bytes, expected at most max_bytes={size - 1}"
    ):
        read_nir(path, max_bytes=size - 1)
    with pytest.raises(ValueError, match="has 4 nodes or more, expected at most max_nodes=3"):
        read_nir(path, max_nodes=3)
    with pytest.raises(ValueError, match="has 2 edges or more, expected at most max_edges=1"):
        read_nir(path, max_edges=1)
    for name in ("max_bytes", "max_depth", "max_nodes", "max_edges"):
        with pytest.raises(ValueError, match=f"{name}: got 0, expected a positive integer"):
            read_nir(path, **{name: 0})
    read_nir(path, max_nodes=4, max_edges=2)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_not_hdf5(content, tmp_path):
    (tmp_path / "a.nir").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nir: not a NIR file to read: "):
        read_nir(tmp_path / "a.nir")


def test_every_truncation_is_an_error(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a NIR file to read"):
            read_nir(path)


def test_damaged_bytes_are_an_error_or_harmless(path):
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(ValueError):
            read_nir(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.nir"):
        read_nir(tmp_path / "none.nir")
    with pytest.raises(IsADirectoryError):
        read_nir(tmp_path)
    os.mkfifo(tmp_path / "pipe.nir")
    for name in ("/dev/null", tmp_path / "pipe.nir"):
        with pytest.raises(ValueError, match=f"{name}: is not a regular file"):
            read_nir(name)


def test_the_file_is_opened_once(path, monkeypatch):
    """What was checked is what is read, whatever becomes of the file."""
    inspect = phc.convert.nir.files.inspect

    def swap(file, *arguments):
        inspect(file, *arguments)
        path.write_bytes(b"something else")

    monkeypatch.setattr(phc.convert.nir.files, "inspect", swap)
    assert read_nir(path).nodes["layer_0"].v_threshold.shape == (N,)
    assert path.read_bytes() == b"something else"


def test_a_file_that_grows_is_refused(path, monkeypatch):
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"x")

    class Stale:
        st_size = size
        st_mode = path.stat().st_mode

    monkeypatch.setattr("phc_snn.convert.nir.files.os.fstat", lambda _: Stale)
    with pytest.raises(ValueError, match=f"grew beyond max_bytes={size} while it was read"):
        read_nir(path, max_bytes=size)


def test_text_of_any_packing_and_metadata_is_read(path):
    with h5py.File(path, "r+") as file:
        node = file["node/nodes/layer_0"]
        node["metadata/note"] = "for the record"
        node["metadata/learned"] = True
        del node["r"]
        node.create_dataset("r", data=np.ones(N), chunks=(3,), compression="gzip", shuffle=True)
    read = read_nir(path).nodes["layer_0"]
    assert read.metadata["note"] == "for the record"
    assert np.array_equal(read.r, np.ones(N))


def test_writing_leaves_the_old_file_if_it_fails(path, monkeypatch):
    before = path.read_bytes()

    def fail(name, graph):
        with open(name, "wb") as file:
            file.write(struct.pack("q", 1))
        raise OSError("disk full")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_nir(path, phc.LIF(N), dt=1e-3)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1
