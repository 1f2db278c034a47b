"""That the bugs of planted.py can still be planted; it plants them by hand only."""

import pytest

from contract.planted import PLANTS, ROOT, Plant


@pytest.mark.parametrize("plant", PLANTS[1:], ids=lambda plant: plant.name)
def test_there_is_one_place_for_it(plant: Plant):
    assert (ROOT / plant.file).read_text("utf-8").count(plant.old) == 1
