"""Settings of the outbox: where reports are kept until they are delivered, and how many."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from xpander_sdk import _fork
from xpander_sdk.settings.validators import at_least, one_of, optional_callable

Durability = Literal["crash", "power"]
WhenFull = Literal["block", "raise", "drop_oldest"]
WorkerKind = Literal["thread", "none"]


def _file(given: "str | os.PathLike[str] | None") -> str | None:
    chosen = given or os.environ.get("XPANDER_OUTBOX") or None
    if chosen is None:
        return None
    try:
        path = os.fsdecode(chosen)
    except TypeError:
        raise ValueError(f"the outbox must be a path, not {type(given).__name__}") from None
    if "\0" in path:
        raise ValueError("the outbox must be a path, which cannot have a NUL")
    # Absolute from now on: a relative file would be another one after a change of directory.
    return os.path.abspath(os.path.expanduser(path))


@frozen(kw_only=True)
class OutboxSettings:
    """The outbox, a file in which reports are kept until a backend has them.

    Args:
        file: the SQLite file; made where it is missing, readable by its owner only. Default: XPANDER_OUTBOX, else
            `outbox.db` in the user's data folder for xpander-report. It must be on a disk of this machine: SQLite's
            locks do not hold on network drives.
        durability: what a report survives once its receipt is there. "crash": the end of the process, kill -9
            included. "power": the end of the machine, too; each report then waits for the disk. Default "crash": where
            a run was in memory until a moment ago, the disk's wait buys little, and callers feel it.
        max_reports: how many may wait. Default 1,000,000.
        max_bytes: how much they may take, in bytes. Default 1 GiB. Dead letters are bounded in the same way, by
            themselves: the oldest go.
        when_full: "raise" refuses a report with OutboxFullError, "block" does so after `block_seconds`, "drop_oldest"
            makes room, and counts what went. Default "raise".
        block_seconds: how long "block" waits for room. Default 5.
        mask: sees each report, a dict as the contract has it, before it is written, and returns what shall be written
            instead; the id stays. If it fails, the run's texts are left out and its numbers are kept.
        worker: "thread" delivers from threads of this process; "none" leaves that to `Backend.outbox.drain`, to
            `xpander-report outbox drain`, or to another process. Default "thread".
        parallel: reports in flight at the most, of different runs. Default 8.
        exit_seconds: how long the end of the program may wait for what is still to be delivered; the rest stays in the
            file. Default 2.

    Raises:
        ValueError: a setting cannot be; the text names it.

    Example:
        >>> OutboxSettings(file="/var/lib/worker/outbox.db", durability="power").parallel
        8
    """

    file: str | None = field(default=None, converter=_file)
    durability: Durability = field(default="crash", validator=one_of(Durability))
    max_reports: int = field(default=1_000_000, validator=at_least(1))
    max_bytes: int = field(default=1 << 30, validator=at_least(1))
    when_full: WhenFull = field(default="raise", validator=one_of(WhenFull))
    block_seconds: float = field(default=5.0, validator=at_least(0, float))
    # A callable of its own kind need not be hashable, as configurations have to be.
    mask: Callable[[dict[str, Any]], Mapping[str, Any]] | None = field(
        default=None, validator=optional_callable, hash=False
    )
    worker: WorkerKind = field(default="thread", validator=one_of(WorkerKind))
    parallel: int = field(default=8, validator=at_least(1))
    exit_seconds: float = field(default=2.0, validator=at_least(0, float))

    @property
    def path(self) -> str:
        """The file that is meant, absolute."""
        return self.file or _default_path()


_default: list[str] = []


def _default_path() -> str:
    if not _default:
        with _fork.import_lock:  # of an import that takes its time
            import platformdirs

            _default.append(os.path.join(platformdirs.user_data_dir("xpander-report", appauthor=False), "outbox.db"))
    return _default[0]


def parse_outbox(given: "OutboxSettings | str | os.PathLike[str] | None") -> OutboxSettings | None:
    """The outbox that a configuration names; None where neither it nor the environment does."""
    if given is None:
        return OutboxSettings() if os.environ.get("XPANDER_OUTBOX") else None
    return given if isinstance(given, OutboxSettings) else OutboxSettings(file=given)
