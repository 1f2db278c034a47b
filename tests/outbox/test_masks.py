"""Masks, which change a report before it is written. A function replaces the backend."""

import logging
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from outbox.helpers import TIMEOUT, RecordingBackend, make_report, put, read_files
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.receipt import ReceiptState


def test_mask_is_applied_before_the_report_is_written(outbox: Outbox, path: Path, backend: RecordingBackend):
    def mask(report: dict[str, Any]) -> dict[str, Any]:
        return {**report, "result": report["result"].replace("secret", "***")}

    put(outbox, result="a secret", mask=mask, worker="none")
    assert b"secret" not in read_files(path)
    outbox.drain(TIMEOUT)
    assert backend.recorded == [{"id": "run-1", "result": "a ***"}]


@pytest.mark.parametrize(
    "mask",
    [lambda report: 1 / 0, lambda report: None, lambda report: [report], lambda report: report.clear()],
    ids=["raises", "None", "list", "clears"],
)
def test_failed_mask_keeps_only_fields_without_text(
    mask, outbox: Outbox, path: Path, backend: RecordingBackend, caplog
):
    caplog.set_level(logging.DEBUG)
    tokens = {"prompt_tokens": 3}
    report = make_report(
        result="secret",
        input="secret",
        llm_response="secret",
        used_tools=["secret"],
        tokens=tokens,
        is_success=True,
        duration=1.5,
    )
    put(outbox, report=report, mask=mask, worker="none")
    assert b"secret" not in read_files(path)
    assert "secret" not in caplog.text
    outbox.drain(TIMEOUT)
    (body,) = backend.recorded
    assert {name: value for name, value in body.items() if value is not None} == {
        "id": "run-1", "tokens": tokens, "is_success": True, "duration": 1.5,
    }  # fmt: skip


def test_mask_cannot_change_the_id(outbox: Outbox, backend: RecordingBackend):
    put(outbox, mask=lambda report: {"id": "another", "result": "\ud800", 5: object()}, worker="none")
    outbox.drain(TIMEOUT)
    assert backend.runs == ["run-1"]


def test_mask_need_not_be_hashable(outbox: Outbox):
    @define
    class Mask:
        word: str

        def __call__(self, report: dict[str, Any]) -> dict[str, Any]:
            return report

    assert put(outbox, mask=Mask("secret")).wait(TIMEOUT) is ReceiptState.Delivered
