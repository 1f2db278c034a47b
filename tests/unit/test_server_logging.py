"""Log lines: data from outside can neither forge a line or a field, nor control a terminal."""

import json
import logging
from collections.abc import Iterator

import pytest

from xpander_server.observability.logging import LogFormat, configure_logging, with_fields

HOSTILE = "\x1b[31m\x9b0m\x7f\x00\r\nforged line \u2028\u202e é"
CONTROLS = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\u202e"} - {"\n"}


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_control_characters_are_escaped(root_logger, capsys: pytest.CaptureFixture[str], log_format: LogFormat):
    configure_logging(log_format, "INFO")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        root_logger.exception("failed: %s", HOSTILE, extra=with_fields({"client": HOSTILE, "key": HOSTILE}))
    written = capsys.readouterr().err
    assert not CONTROLS & set(written)
    assert not any(line.startswith("forged") for line in written.split("\n"))
    if log_format == "json":
        assert json.loads(written)["client"] == HOSTILE


def test_field_cannot_imitate_another_field(root_logger, capsys: pytest.CaptureFixture[str]):
    configure_logging("text", "INFO")
    root_logger.info("event", extra=with_fields({"organization_id": "a status=200", "key": 'b"', "status": 401}))
    assert capsys.readouterr().err.rstrip().endswith(r"""organization_id="a status=200" key="b\"" status=401""")
