"""Settings of the outbox: file, durability, limits, delivery."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from xpander_sdk import _fork
from xpander_sdk._records import field, frozen
from xpander_sdk.errors import OutboxError
from xpander_sdk.settings.validators import at_least, environment_variable, one_of, optional_callable

Durability = Literal["crash", "power"]
WhenFull = Literal["block", "raise", "drop_oldest"]
WorkerKind = Literal["thread", "none"]


def _absolute_path(value: "str | os.PathLike[str] | None") -> str | None:
    file = environment_variable("XPANDER_OUTBOX") if value is None else value
    if file is None:
        return None
    try:
        path = os.fsdecode(file)
    except TypeError:
        raise ValueError(f"the file of the outbox must be a path, got {type(value).__name__}") from None
    if not path.strip():
        raise ValueError("the file of the outbox must not be empty; omit it for XPANDER_OUTBOX or the default file")
    if "\0" in path:
        raise ValueError(f"the file of the outbox must not contain a NUL character, got {path!r}")
    # Absolute now: after a change of directory, a relative path would lead to another file.
    return os.path.abspath(os.path.expanduser(path))


@frozen(kw_only=True)
class OutboxSettings:
    """Settings of the outbox, a file on this machine that keeps reports until a backend has confirmed them.

    Args:
        file: Path of the SQLite file. It is created if it does not exist, readable by its owner only. It must be on a
            disk of this machine, because SQLite's locks do not work on network drives. Default: the variable
            XPANDER_OUTBOX, else `outbox.db` in the user's data folder for xpander-report.
        durability: Failures that a report survives after its receipt was returned. "crash": the end of the process,
            kill -9 included. "power": the loss of power as well; each report then waits for the disk. Default "crash":
            the run itself was only in memory before, so waiting for the disk protects little, and every caller would
            wait.
        max_reports: Maximum number of pending reports, and separately of dead letters. Default 1,000,000.
        max_bytes: Maximum size of the pending reports in bytes, and separately of the dead letters. At a limit, the
            oldest dead letters are deleted. Default 1 GiB.
        when_full: Behavior if a report has no room. "raise" raises OutboxFullError at once, "block" after
            `block_seconds`; "drop_oldest" deletes the oldest pending reports and counts them as dropped. Default
            "raise".
        block_seconds: Maximum time to wait for room with `when_full="block"`, in seconds. Default 5.
        mask: Function that receives each report as a dict with the fields of the contract, and returns the dict that is
            stored and sent. It cannot change the id. If it raises, the texts of the run are removed and its numbers
            stay. Default: no mask.
        worker: "thread" delivers in threads of this process. "none" leaves the delivery to `Backend.outbox.drain`, to
            `xpander-report outbox drain`, or to another process. Default "thread".
        parallel: Maximum number of requests that this process sends at the same time. They belong to different runs.
            Default 8.
        exit_seconds: Maximum time to deliver pending reports at the end of the program, in seconds; the remaining ones
            stay in the file. Default 2.

    Raises:
        ValueError: A setting is invalid; the message names it.

    Example:
        >>> OutboxSettings(file="/var/lib/worker/outbox.db", durability="power").parallel
        8
    """

    file: str | None = field(default=None, converter=_absolute_path)
    durability: Durability = field(default="crash", validator=one_of(Durability))
    max_reports: int = field(default=1_000_000, validator=at_least(1))
    max_bytes: int = field(default=1 << 30, validator=at_least(1))
    when_full: WhenFull = field(default="raise", validator=one_of(WhenFull))
    block_seconds: float = field(default=5.0, validator=at_least(0, float))
    # Excluded from the hash: a configuration must be hashable, an instance with `__call__` may not be.
    mask: Callable[[dict[str, Any]], Mapping[str, Any]] | None = field(
        default=None, validator=optional_callable, hash=False
    )
    worker: WorkerKind = field(default="thread", validator=one_of(WorkerKind))
    parallel: int = field(default=8, validator=at_least(1))
    exit_seconds: float = field(default=2.0, validator=at_least(0, float))

    @property
    def path(self) -> str:
        """Absolute path of the file: `file`, or the default path.

        Raises:
            OutboxError: The file is not set, and this user has no home directory.
        """
        return self.file or _default_path()


_default_paths: list[str] = []


def _default_path() -> str:
    if not _default_paths:
        with _fork.import_lock:  # A fork during the import would leave an import lock held in the child.
            import platformdirs

            try:
                folder = platformdirs.user_data_dir("xpander-report", appauthor=False)
            except RuntimeError as error:  # There is no home directory, as in a container with an arbitrary user id.
                reason = "this user has no home directory for the default file; set XPANDER_OUTBOX to a path"
                raise OutboxError(f"the outbox cannot be used: {reason}") from error
            _default_paths.append(os.path.join(folder, "outbox.db"))
    return _default_paths[0]


def parse_outbox(value: "OutboxSettings | str | os.PathLike[str] | None") -> OutboxSettings | None:
    """Convert the argument `outbox` of a configuration to settings.

    Args:
        value: Settings, the path of a file, or None for the variable XPANDER_OUTBOX.

    Returns:
        The settings; None if neither the argument nor the variable is set.

    Raises:
        ValueError: The value is neither settings nor a path.
    """
    if value is None:
        return OutboxSettings() if environment_variable("XPANDER_OUTBOX") else None
    return value if isinstance(value, OutboxSettings) else OutboxSettings(file=value)
