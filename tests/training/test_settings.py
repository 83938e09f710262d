"""Settings: one dataclass, a TOML file, and the errors that name what is wrong."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phc_snn.training.settings import (
    check_settings,
    from_mapping,
    plain,
    read_settings,
    required,
    setting,
    write_settings,
)
from phc_snn.training.train_config import TrainConfig


@dataclass(frozen=True)
class Settings:
    where: Path = required("A folder.")
    rate: float = setting(0.5, "A number.", least=0.0, most=1.0)
    count: int = setting(3, "How many.", least=1)
    kind: Literal["plain", "fancy"] = setting("plain", "Which.")
    switch: bool = setting(True, "On or off.")
    name: str | None = setting(None, "A text.")
    several: tuple[int, ...] = setting((1, 2), "Numbers.", least=0)


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    rate=st.floats(0.0, 1.0),
    count=st.integers(1, 2**63),
    name=st.none() | texts,
    several=st.lists(st.integers(0, 9)).map(tuple),
    switch=st.booleans(),
    folder=st.text("abc/ üß'\"\\\x7f", min_size=1),
)
def test_a_file_says_what_was_written(tmp_path_factory, folder, **values):
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    config = Settings(Path(folder), kind="fancy", **values)
    write_settings(config, path)
    assert read_settings(Settings, path) == config


def test_what_a_file_does_not_say_has_its_default():
    assert from_mapping(Settings, {"where": "x", "rate": 1}, "f") == Settings(Path("x"), 1.0)
    assert isinstance(from_mapping(Settings, {"where": "x", "rate": 1}, "f").rate, float)
    assert "name" not in plain(Settings(Path("x")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"where": "x", "cuont": 3}, r"f: cuont is not a setting; did you mean count\?"),
        ({"where": "x", "zzz": 3}, r"f: zzz is not a setting$"),
        ({}, "f: where is missing"),
        ({"where": 3}, "f: where: got 3, expected a path"),
        ({"where": "x", "rate": 1.5}, r"f: rate: got 1\.5, expected 0\.0 to 1\.0"),
        ({"where": "x", "rate": float("nan")}, r"f: rate: got nan, expected a finite number"),
        ({"where": "x", "rate": float("inf")}, r"f: rate: got inf, expected a finite number"),
        ({"where": "x", "rate": True}, "f: rate: got True, expected a number"),
        ({"where": "x", "count": 0}, "f: count: got 0, expected 1 or more"),
        ({"where": "x", "count": 1.5}, "f: count: got 1.5, expected an integer"),
        ({"where": "x", "kind": "fncy"}, r"kind: got 'fncy', expected .*; did you mean 'fancy'\?"),
        ({"where": "x", "switch": 1}, "f: switch: got 1, expected true or false"),
        ({"where": "x", "name": 1}, "f: name: got 1, expected a text or nothing"),
        ({"where": "x", "several": [1, -1]}, "f: several: got -1, expected 0 or more"),
        ({"where": "x", "several": [1, "a"]}, "f: several: got .*, expected integers"),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_mapping(Settings, values, "f")


def test_settings_made_in_python_are_checked_too():
    check_settings(Settings(Path("x")))
    with pytest.raises(ValueError, match="count: got 0"):
        check_settings(replace(Settings(Path("x")), count=0))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config: .* does not exist; expected a TOML file"):
        read_settings(Settings, tmp_path / "no.toml")
    for content in (b"rate = \n", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ValueError, match=r"config: .*bad\.toml is not TOML"):
            read_settings(Settings, tmp_path / "bad.toml")


def test_a_grid_is_no_setting_of_one_run():
    with pytest.raises(ValueError, match=r"grid is not a setting but a table.*phc-snn sweep"):
        from_mapping(TrainConfig, {"grid": {"seed": [0]}})


def test_none_is_refused_where_the_protocol_says_a_number():
    """A file cannot say it: what is none is left out, and read as the protocol has it."""
    with pytest.raises(ValueError, match=r"patience: got none, which protocol = 'uea' stands for"):
        TrainConfig(protocol="uea", steps_per_epoch=5, patience=None).check()
