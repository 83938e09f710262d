"""A file is either complete or not there."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from phc_snn.files import write_atomically, write_json, write_text


def test_text_and_json_come_back(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "één\n")
    write_json(tmp_path / "b.json", {"x": [1, 2.5, None]})
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "één\n"
    assert json.loads((tmp_path / "b.json").read_text()) == {"x": [1, 2.5, None]}


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    path = tmp_path / "a.json"
    program = (
        "import sys; from pathlib import Path; from phc_snn.files import write_json\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; write_json(Path(sys.argv[1]), {'n': n, 'fill': ['x' * 100] * 20000})\n"
        "    print(n, flush=True)\n"
    )
    for delay in (0.0, 0.013, 0.031):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()  # one complete write
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        assert len(json.loads(path.read_text())["fill"]) == 20000
