"""`Topology`: Table 2 entry by entry, the builders, and what they refuse."""

import itertools
import math

import pytest
import scipy.sparse
import torch

import phc_snn as phc

# Chiang 2026, Table 2: from (region, type) to (region, type), for two regions.
WITHIN = {"EE", "EI", "IE", "II"}
TABLE = {
    "feedforward": {
        (0, 0): {"EI", "IE", "II"},
        (0, 1): {"EE", "EI"},
        (1, 1): WITHIN,
        (1, 0): set(),
    },
    "bidirectional": {(0, 0): WITHIN, (0, 1): {"EE", "EI"}, (1, 1): WITHIN, (1, 0): {"EE", "EI"}},
}
BUILDERS = {"feedforward": phc.Topology.feedforward, "bidirectional": phc.Topology.bidirectional}


def kinds(topology):
    letters = ["E" if e else "I" for e in topology.excitatory.tolist()]
    return list(zip(topology.region.tolist(), letters, strict=True))


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("features", [10, 16, 32, 33, 64])
def test_table_2_entry_by_entry(name, features):
    topology = BUILDERS[name](features)
    neurons = kinds(topology)
    for pre, post in itertools.product(range(features), repeat=2):
        (pre_region, pre_type), (post_region, post_type) = neurons[pre], neurons[post]
        allowed = pre_type + post_type in TABLE[name][pre_region, post_region]
        assert bool(topology.mask[post, pre]) == (allowed and pre != post)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("features", [4, 7, 16, 30, 32, 33, 64, 150])
def test_order_and_numbers_of_neurons(name, features):
    """R0-E, R0-I, R1-E, R1-I; floor(0.8 n) of each region excite."""
    topology = BUILDERS[name](features)
    expected = []
    for region, n in enumerate((features - features // 2, features // 2)):
        excitatory = math.floor(8 * n / 10)
        expected += [(region, "E")] * excitatory + [(region, "I")] * (n - excitatory)
    assert kinds(topology) == expected
    assert topology.features == features
    assert topology.regions == 2
    assert topology.inputs.tolist() == [kind == (0, "E") for kind in expected]
    assert topology.readout.tolist() == [kind == (1, "E") for kind in expected]
    assert not bool(topology.mask.diagonal().any())


@pytest.mark.parametrize("n", range(2, 201))
def test_excitatory_number_is_not_off_by_floating_point(n):
    topology = phc.Topology.bidirectional(n, regions=1)
    assert int(topology.excitatory.sum()) == 8 * n // 10


def test_regions_by_number_and_by_size():
    assert phc.Topology.bidirectional(11, regions=3).region.bincount().tolist() == [4, 4, 3]
    sized = phc.Topology.bidirectional(12, regions=[6, 2, 4], excitatory_fraction=[0.5, 1.0, 0.75])
    assert sized.region.bincount().tolist() == [6, 2, 4]
    assert [int(sized.excitatory[sized.region == r].sum()) for r in range(3)] == [3, 2, 3]
    assert phc.Topology.feedforward(5, regions=1).regions == 1


def test_only_neighbouring_regions_connect():
    for build, both_ways in ((phc.Topology.feedforward, False), (phc.Topology.bidirectional, True)):
        topology = build(24, regions=3)
        region, excitatory = topology.region, topology.excitatory
        for post, pre in itertools.product(range(3), repeat=2):
            block = topology.mask[region == post][:, region == pre]
            connected = post == pre or post - pre == 1 or (both_ways and pre - post == 1)
            assert bool(block.any()) == connected
            if post != pre and connected:  # all that the excitatory ones reach, nothing else
                assert torch.equal(block, excitatory[region == pre].expand_as(block))


def random_topology(features=9):
    mask = (torch.rand(features, features) < 0.4).fill_diagonal_(False)
    excitatory = torch.tensor([True, False, True] * 3)
    return phc.Topology.from_masks(mask, excitatory, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]))


def assert_same(actual, expected):
    for name in ("mask", "excitatory", "region"):
        assert torch.equal(getattr(actual, name), getattr(expected, name)), name


def test_from_masks_without_regions_is_one_region():
    topology = phc.Topology.from_masks(~torch.eye(3, dtype=torch.bool), torch.ones(3) > 0)
    assert topology.regions == 1
    assert topology.region.tolist() == [0, 0, 0]


def test_from_edges_are_pairs_of_pre_and_post():
    excitatory = torch.tensor([True, True, False])
    topology = phc.Topology.from_edges([(0, 1), (2, 0)], excitatory)
    assert topology.mask.nonzero().tolist() == [[0, 2], [1, 0]]
    assert not bool(phc.Topology.from_edges([], excitatory).mask.any())
    expected = random_topology()
    post, pre = expected.mask.nonzero(as_tuple=True)
    edges = zip(pre.tolist(), post.tolist(), strict=True)
    assert_same(phc.Topology.from_edges(edges, expected.excitatory, expected.region), expected)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array"])
def test_from_sparse_has_rows_post(kind):
    expected = random_topology()
    matrix = getattr(scipy.sparse, kind)(expected.mask.double().numpy() * 0.7)
    assert_same(phc.Topology.from_sparse(matrix, expected.excitatory, expected.region), expected)


def test_from_sparse_ignores_stored_zeros():
    matrix = scipy.sparse.coo_matrix(([0.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2))
    topology = phc.Topology.from_sparse(matrix, torch.ones(2, dtype=torch.bool))
    assert topology.mask.tolist() == [[False, False], [True, False]]


def test_dict_round_trip_through_json():
    import json

    for topology in (random_topology(), phc.Topology.feedforward(10)):
        content = json.loads(json.dumps(topology.to_dict()))
        assert_same(phc.Topology.from_dict(content), topology)


class TestThinByDistance:
    def test_far_connections_go_first(self):
        topology = phc.Topology.bidirectional(200, regions=1)
        positions = torch.rand(200, 2) * 10.0
        thinned = topology.thin_by_distance(
            positions, 2.0, generator=torch.Generator().manual_seed(0)
        )
        assert not bool((thinned.mask & ~topology.mask).any())
        distance = torch.cdist(positions, positions)
        for low, high in ((0.5, 1.0), (2.0, 2.5), (5.0, 5.5)):
            ring = topology.mask & (distance > low) & (distance < high)
            kept = float(thinned.mask[ring].double().mean())
            assert kept == pytest.approx(math.exp(-(low + high) / 2 / 2.0), abs=0.04)

    def test_generator_repeats(self):
        topology, positions = phc.Topology.feedforward(20), torch.rand(20, 3)
        thinned = [
            topology.thin_by_distance(positions, 0.5, generator=torch.Generator().manual_seed(3))
            for _ in range(2)
        ]
        assert_same(*thinned)

    @pytest.mark.parametrize(
        ("positions", "length", "message"),
        [
            (torch.rand(9, 2), 1.0, r"positions: got shape \(9, 2\), expected \(10, dimensions\)"),
            (torch.rand(10), 1.0, r"positions: got shape \(10,\)"),
            (torch.rand(10, 2), 0.0, "length: got 0.0, expected a positive space constant"),
            (torch.rand(10, 2), float("nan"), "length: got nan"),
        ],
    )
    def test_bad_arguments(self, positions, length, message):
        with pytest.raises(ValueError, match=message):
            phc.Topology.feedforward(10).thin_by_distance(positions, length)


YES, NO = torch.ones(3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(3, 3), YES), TypeError, "mask: got torch.float32, expected torch.bool"),
        ((NO, YES.float()), TypeError, "excitatory: got torch.float32, expected torch.bool"),
        ((NO[:2], YES), ValueError, r"mask: got shape \(2, 3\), expected \(N, N\)"),
        ((NO[0], YES), ValueError, r"mask: got shape \(3,\), expected \(N, N\)"),
        ((NO, YES[:2]), ValueError, r"excitatory: got shape \(2,\), expected \(3,\) as mask has"),
        ((NO, YES, torch.zeros(2)), ValueError, r"region: got shape \(2,\), expected \(3,\)"),
        (
            (~NO, YES),
            ValueError,
            r"mask: has 3 self-connections, expected none; clear its diagonal",
        ),
        (
            (NO, YES, torch.tensor([0, 2, 2])),
            ValueError,
            r"region: got regions \[0, 2\], expected 0",
        ),
        ((NO, YES, torch.tensor([1, 1, 1])), ValueError, r"region: got regions \[1\], expected 0"),
        ((NO, ~YES), ValueError, "region 0 has no excitatory neuron, expected at least one"),
        (
            (NO, torch.tensor([True, True, False]), torch.tensor([0, 0, 1])),
            ValueError,
            "region 1 has no excitatory neuron, expected at least one: make it larger",
        ),
    ],
)
def test_bad_masks(arguments, error, message):
    with pytest.raises(error, match=message):
        phc.Topology.from_masks(*arguments)


@pytest.mark.parametrize("edge", [(0, 3), (-1, 0), (5, 5)])
def test_edges_outside(edge):
    with pytest.raises(ValueError, match=r"edges: got \(.*\), expected neuron numbers from 0 to 2"):
        phc.Topology.from_edges([(0, 1), edge], YES)


def test_a_self_connection_in_an_edge_list():
    with pytest.raises(ValueError, match="mask: has 1 self-connections"):
        phc.Topology.from_edges([(1, 1)], YES)


def test_a_matrix_of_another_size():
    with pytest.raises(ValueError, match=r"matrix: got shape \(4, 4\), expected \(3, 3\)"):
        phc.Topology.from_sparse(scipy.sparse.eye(4), YES)


@pytest.mark.parametrize(
    "content", [{}, {"edges": [], "region": [0]}, {"edges": [1], "excitatory": [1], "region": [0]}]
)
def test_a_dict_that_is_no_topology(content):
    with pytest.raises(ValueError, match="content: not a topology written by to_dict"):
        phc.Topology.from_dict(content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": 0}, "regions: got 0, expected 1 to 8"),
        ({"regions": 9}, "regions: got 9, expected 1 to 8"),
        ({"regions": [4, 5]}, r"regions: got sizes \[4, 5\], expected them to add up to 8"),
        ({"regions": [8, 0]}, r"regions: got sizes \[8, 0\]"),
        ({"regions": []}, r"regions: got sizes \[\]"),
        (
            {"excitatory_fraction": 1.2},
            r"excitatory_fraction: got 1.2, expected a value in \[0, 1\]",
        ),
        ({"excitatory_fraction": [0.8]}, r"excitatory_fraction: got \[0.8\]"),
        ({"excitatory_fraction": 0.1}, "region 0 has no excitatory neuron"),
        ({"regions": 8}, "region 0 has no excitatory neuron"),
    ],
)
def test_bad_chains(options, message):
    with pytest.raises(ValueError, match=message):
        phc.Topology.bidirectional(8, **options)


class TestRequirePath:
    def test_chains_have_one(self):
        phc.Topology.feedforward(16).require_path()
        phc.Topology.bidirectional(30, regions=5).require_path()

    def test_a_path_may_lead_through_other_neurons(self):
        # 0 -> 1 (inhibitory) -> 2 (inhibitory) -> 3
        excitatory = torch.tensor([True, False, False, True])
        region = torch.tensor([0, 0, 1, 1])
        edges = [(0, 1), (1, 2), (2, 3)]
        phc.Topology.from_edges(edges, excitatory, region).require_path()
        for missing in edges:
            cut = [edge for edge in edges if edge != missing]
            with pytest.raises(ValueError, match=r"mask: no path leads from the 1 input neurons"):
                phc.Topology.from_edges(cut, excitatory, region).require_path()

    def test_direction_matters(self):
        backwards = phc.Topology.from_edges([(1, 0)], YES[:2], torch.tensor([0, 1]))
        with pytest.raises(ValueError, match=r"expected at least one; connect the regions"):
            backwards.require_path()


@pytest.mark.parametrize("edges", [[(0, 1.7)], [(0, 1, 2), (3, 4, 5)], [0, 1]])
def test_edges_that_are_no_pairs_of_integers(edges):
    with pytest.raises(ValueError, match=r"edges: got .* expected \(pre, post\) pairs of integers"):
        phc.Topology.from_edges(edges, torch.ones(8, dtype=torch.bool))
