"""Where the runs of a sweep are computed: each in a process of its own, or on a cluster."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from multiprocessing import get_context
from typing import Any

from phc_snn.extras import require
from phc_snn.training.together import check_stackable, stacks, train_together
from phc_snn.training.train import SETTINGS, resume, train
from phc_snn.training.train_config import TrainConfig


def locally(
    runs: Mapping[str, TrainConfig], jobs: int | None, told: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """Name and error, or "", of each run, as they end.

    Args:
        runs: Name -> settings of each.
        jobs: Runs at the same time; None leaves it to the engine.
        told: Hears how far it is, from an engine that knows.
    """
    with _workers(jobs or 1) as pool:
        futures = {pool.submit(train_or_resume, c): n for n, c in runs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_serve, initargs=(os.getpid(),)
    )
    try:
        yield pool
    except BaseException:
        # A run can be killed at any moment, and goes on from its last epoch.
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _serve(parent: int) -> None:
    """Leave Ctrl-C to the sweep, and end with it.

    A sweep that is killed cannot end its workers. They would train on, and write into the same runs
    as the sweep that goes on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_LOOK = 0.2
"""Seconds between two looks at whether the sweep still runs."""


def by_ray(
    runs: Mapping[str, TrainConfig], jobs: int | None, told: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """As `locally`, on a cluster."""
    # Under `uv run` Ray's workers would get an environment made anew, without the extras of this
    # one: without Ray itself, and then no run ever starts.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    tune: Any = require("ray.tune", extra="sweep")

    def trainable(config: dict[str, Any]) -> dict[str, str]:
        name: str = config["name"]
        return {"name": name, "error": train_or_resume(runs[name])}

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"name": tune.grid_search(list(runs))},
        tune_config=tune.TuneConfig(max_concurrent_trials=jobs or 1),
        run_config=tune.RunConfig(verbose=0),
    )
    for result in tuner.fit() if runs else []:
        if result.error is not None:
            raise result.error
        yield result.metrics["name"], result.metrics["error"]


def stacked(
    runs: Mapping[str, TrainConfig], jobs: int | None, told: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """As `locally`, as one batch where that is possible: see `phc_snn.training.together`."""
    for config in runs.values():
        check_stackable(config)
    for stack in stacks(runs, jobs):
        open_runs = set(stack)
        try:
            for name, error in train_together(stack, told):
                open_runs.discard(name)
                yield name, error
        except _FAILURES as error:
            yield from ((name, str(error)) for name in stack if name in open_runs)


_FAILURES = (OSError, ValueError, ImportError)
"""What a run can fail by, while others go on."""


def train_or_resume(config: TrainConfig) -> str:
    """Bring a run to its end, silently; returns what went wrong, or ""."""
    if config.out is None:
        raise ValueError("out: got none, expected the folder of the run")
    try:
        with redirect_stdout(StringIO()):
            if (config.out / SETTINGS).exists():
                resume(config.out)
            else:
                train(config)
    except _FAILURES as error:
        return str(error)
    return ""
