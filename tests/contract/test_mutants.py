"""That the bugs of mutants.py can still be planted; it plants them by hand only."""

import pytest

from contract.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS[1:], ids=lambda mutant: mutant.name)
def test_there_is_one_place_for_it(mutant: Mutant):
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
