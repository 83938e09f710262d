"""Settings that every test runs under."""

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.recordings import moving_bars

# Derandomised: a run that fails on one machine fails on all of them, and leaves no database behind.
settings.register_profile(
    "phc",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("phc")


def pytest_configure():
    # One thread for each xdist worker; tests that are about threads set their own number.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _same_randomness():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bars(tmp_path_factory):
    """A folder with a small event set to train on; nothing may be written there."""
    folder = tmp_path_factory.mktemp("bars")
    moving_bars(folder)
    return folder


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield
