"""The page of results says what the kept files say."""

import json

import pytest

from benchmarks import results_page


def test_it_is_made_of_the_files_that_are_there():
    assert results_page.PAGE.read_text(encoding="utf-8") == results_page.page()


@pytest.mark.parametrize("path", sorted(results_page.RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_every_number_has_its_seeds_settings_commit_and_machine(path):
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["commit"]
    assert content["machine"]
    assert content["versions"]["torch"]
    assert content["settings"]["data"]
    for group in content["groups"]:
        assert len(group["runs"]) == len(content["grid"]["seed"])
        tests = [run["test"] for run in group["runs"]]
        assert group["test"][0] == pytest.approx(sum(tests) / len(tests))
    for place in ("/work", "/home", "/root", "/tmp"):
        assert place not in text
