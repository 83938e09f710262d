"""Generated modules on disk."""

import pytest

from phc_snn.kernels import build


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PHC_SNN_CACHE", str(tmp_path))
    build._writable_folder.cache_clear()
    yield tmp_path
    build._writable_folder.cache_clear()


def test_the_folder_is_the_one_that_was_chosen(place):
    assert build.load("value = 1\n", "chosen").value == 1
    assert len(list(place.glob("phc_snn_chosen_*.py"))) == 1


def test_a_damaged_file_is_written_anew(place, monkeypatch):
    text = "value = 2\n"
    module = build.load(text, "damaged")
    monkeypatch.delitem(build.sys.modules, module.__name__)
    (path,) = place.glob("phc_snn_damaged_*.py")
    path.write_text("value = (")
    assert build.load(text, "damaged").value == 2
    assert path.read_text() == text


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PHC_SNN_CACHE", str(tmp_path / "file" / "below"))
    build._writable_folder.cache_clear()
    assert build._writable_folder() == build._writable_folder() != build.folder()
    (record,) = caplog.records
    assert record.getMessage().startswith("kernels cannot be kept in")
    build._writable_folder.cache_clear()
