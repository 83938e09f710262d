"""The command line, run in a process of its own or, where that tells as much, in this one."""

import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from unittest import mock

from phc_snn.cli import main

COMMAND = [sys.executable, "-m", "phc_snn.cli"]


def run(*arguments, **options):
    """As a user does; importing all that it needs takes seconds."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=240, **options
    )


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


def call(*arguments, cwd, columns=80):
    """The same in this process: exit status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["phc-snn", *arguments]),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns)}),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    return Result(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def started(*arguments, **options):
    """A command that runs beside the test, and not after it, however that ends."""
    with subprocess.Popen([*COMMAND, *arguments], start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers too


def read_until(terminal, pattern, seconds=120):
    """What ``terminal`` shows, up to ``pattern``."""
    seen = b""
    deadline = time.monotonic() + seconds
    while not re.search(pattern, seen):
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{pattern!r} did not come in {seconds} s; seen: {seen[-2000:]!r}"
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # Linux says so once the last process has closed its end
            raise AssertionError(f"ended without {pattern!r}; seen: {seen[-4000:]!r}") from None
    return seen


def interrupt_training(*arguments, end):
    """Run a command that trains for 100,000 epochs, press Ctrl-C after the first.

    Returns the exit status and what the terminal showed, up to the last words ``end``.
    """
    leader, follower = pty.openpty()  # a terminal, so that the progress bar is drawn
    with started(
        *arguments,
        *("--epochs", "100000"),
        stdout=follower,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    ) as process:
        os.close(follower)
        try:
            seen = read_until(leader, rb"epoch [1-9]\d*/100000")
            os.kill(process.pid, signal.SIGINT)
            seen += read_until(leader, end)
            return process.wait(timeout=60), seen
        finally:
            os.close(leader)
