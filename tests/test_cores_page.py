"""The table of all neuron models says what they are."""

from benchmarks import cores
from phc_snn.named import NEURONS


def test_the_table_is_that_of_the_models_that_there_are():
    assert cores.PAGE.read_text(encoding="utf-8") == cores.page()


def test_every_model_has_a_row():
    rows = cores.table().splitlines()[2:]
    assert [row.split("`")[1].lower() for row in rows] == list(NEURONS)


def test_every_model_can_be_timed():
    found = cores.measure(repeats=1, steps=3, batch=1)
    assert set(found["sequence"]) == set(found["step"]) == set(NEURONS)
    assert all(value > 0.0 for way in ("sequence", "step") for value in found[way].values())
