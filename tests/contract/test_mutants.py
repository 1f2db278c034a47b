"""Mutants of mutants.py: each must still match the code. The bugs themselves are tested by hand only."""

import pytest

from contract.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS[1:], ids=lambda mutant: mutant.name)
def test_mutant_matches_code_once(mutant: Mutant):
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
