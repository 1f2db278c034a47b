"""Examples of documents and docstrings that need a framework, each in the environment of its framework."""

import pytest

from integrations.conftest import environment_python, run_program
from project.test_documents import ADAPTERS, DOCUMENTS, FRAMEWORK_FENCE, FRAMEWORKS, RUN_CODE, text_of

pytestmark = pytest.mark.integration

BLOCKS = [(name, code) for path in DOCUMENTS for name, code in FRAMEWORK_FENCE.findall(text_of(path))]
DOCTEST = "import doctest, sys, {0} as module; sys.exit(doctest.testmod(module).failed)"


@pytest.fixture
def outbox(tmp_path):
    """Variables of a program that stores its reports and delivers none: the environments have no embedded backend."""
    return {
        "XPANDER_BASE_URL": "http://127.0.0.1:9", "XPANDER_API_KEY": "key", "XPANDER_ORGANIZATION_ID": "org",
        "XPANDER_OUTBOX": str(tmp_path / "outbox.db"),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_block_of_document_runs(name, code, tmp_path, outbox, pytestconfig):
    python = environment_python(name, pytestconfig)
    run_program(python, [str(RUN_CODE)], tmp_path, input=code, **outbox)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_examples_of_docstrings_run(name, tmp_path, outbox, pytestconfig):
    python = environment_python(name, pytestconfig)
    code = DOCTEST.format(ADAPTERS + name.replace("-", "_"))
    run_program(python, ["-c", code], tmp_path, **outbox)
