"""Results of checks."""

from typing import Literal

from attrs import frozen


@frozen
class Finding:
    """Result of one check.

    Attributes:
        check: Name of the check.
        state: "ok", "failed", "unknown" because the backend's response does not show it, or "skipped" because an
            earlier check failed.
        message: Explanation, with a fix if the check failed.
        source: Origin of the setting that the check uses: "argument", an environment variable, a file, "default" or
            "not set"; None for checks without a setting.
    """

    check: str
    state: Literal["ok", "failed", "unknown", "skipped"]
    message: str
    source: str | None = None


class CheckFailed(Exception):
    """A report would not arrive. The text is the message of the finding."""


class CheckUndetermined(Exception):
    """The response does not show whether a report would arrive. The text is the message of the finding."""
