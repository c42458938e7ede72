"""The places at which the fault suite kills a worker are methods that there are."""

import pytest

from tests.support.dying_app import PLACES


@pytest.mark.parametrize("place", PLACES)
def test_a_place_to_die_at_is_a_method_of_its_class(place: str) -> None:
    assert callable(getattr(PLACES[place].owner, PLACES[place].method))
