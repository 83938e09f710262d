"""What the tests of the ecosystem share."""

import pytest

from tests.ecosystem.neurons import NEURONS


@pytest.fixture(params=NEURONS)
def make(request):
    return NEURONS[request.param]
