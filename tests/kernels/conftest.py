"""Memory that shows when it is read before it is written."""

import numpy as np
import pytest
import torch


@pytest.fixture
def poisoned(monkeypatch):
    """New memory holds NaN."""

    def filled(allocate):
        def allocate_and_fill(*args, **kwargs):
            found = allocate(*args, **kwargs)
            if isinstance(found, np.ndarray) and found.dtype.kind in "fc":
                found.fill(float("nan"))
            elif isinstance(found, torch.Tensor) and found.is_floating_point():
                found.fill_(float("nan"))
            return found

        return allocate_and_fill

    for owner, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch.Tensor, "new_empty"),
        (np, "empty"),
    ):
        monkeypatch.setattr(owner, name, filled(getattr(owner, name)))


@pytest.fixture
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
