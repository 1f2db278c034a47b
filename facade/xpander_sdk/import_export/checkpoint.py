"""Progress of an import, and its rejected entries, in two files: next to the imported file, or in a state folder.

`FILE.progress` exists during an import and after an interruption:

    {"version": 1,
     "purpose": {"base_url": "https://…", "organization_id": null, "agent_id": null, "format": null, "head": "5d41…"},
     "place": {"number": 1200, "start": 198034, "end": 198199, "digest": "9a0e…"},
     "counts": {"recorded": 1198, "rejected": 2}}

`FILE.rejected.jsonl` exists if entries were rejected:

    {"number": 17, "line": 17, "reason": "duration must be a number of seconds, not 'x'", "text": "{…}"}

Sequence of an import:

    resume ──→ the importer reads an entry, sends it, and calls reject() or advance() ─┬─→ end of the file: finish
                        ↑                                          save() twice a second │
                        └── next process, after an interruption ←───────────────────────┘

An interruption loses at most the progress since the last save. The entries after that position are sent again, which
changes nothing: a report of a known id updates its task with the same values. Rejections after the position are removed
at the resumption, because those entries are rejected again.

The list of rejected entries is bounded: a file of millions of invalid lines must not fill the disk. Further rejections
are counted, but not listed. `text` is cut after `MAX_TEXT` characters; `line` still finds the entry in the file.
"""

import hashlib
import json
import os
from typing import IO, Any

from attrs import asdict, define, field

from xpander_sdk._private_folder import create_private_folder
from xpander_sdk.import_export.entries import Entry, Position
from xpander_sdk.import_export.private_files import check_folder, open_private, replace_private

MAX_TEXT = 1 << 20
"""Maximum length of the text of a rejected entry."""
MAX_LISTED = 10_000
"""Maximum number of rejected entries that are listed."""
MAX_LISTED_BYTES = 64 << 20
"""Size of the list of rejected entries, in bytes, after which nothing is added."""
_VERSION = 1
_HEAD_BYTES = 4_096
_MAX_PROGRESS_BYTES = 64 << 10


@define
class Counts:
    """Numbers of recorded and rejected entries."""

    recorded: int = 0
    rejected: int = 0


@define
class Checkpoint:
    """Progress of the import of one file.

    Args:
        path: file that is imported; None for standard input, whose progress is not saved.
        prefix: path of the two files without their endings.
        settings: settings that affect the result. An import resumes only with equal settings.
        is_in_state_folder: the folder of the two files is one that the user has named for them; it is created.
    """

    path: str | None
    prefix: str
    settings: dict[str, Any]
    is_in_state_folder: bool = False
    counts: Counts = field(factory=Counts)
    listed: int = 0
    _listed_bytes: int = 0
    _rejected_file: IO[bytes] | None = None
    _position: Position | None = None
    _saved_position: Position | None = None

    @property
    def progress_path(self) -> str:
        """Path of the file with the progress."""
        return f"{self.prefix}.progress"

    @property
    def rejected_path(self) -> str:
        """Path of the file with the rejected entries."""
        return f"{self.prefix}.rejected.jsonl"

    def prepare(self) -> None:
        """Create the folder of the two files, if the user has named one; check that nobody else can replace them.

        Raises:
            OSError: the folder cannot be used.
        """
        if self.is_in_state_folder:
            create_private_folder(os.path.dirname(self.prefix))
        if self.path is not None or self.is_in_state_folder:
            self._check_folder()

    def resume(self) -> Position | None:
        """Load the progress of an interrupted import; return the position to continue behind.

        Without such progress, start from the beginning and return None.

        Raises:
            OSError: the files cannot be written.
        """
        progress = self._load()
        if progress is None:
            self.restart()
            return None
        self._position = self._saved_position = Position(**progress["place"])
        self.counts = Counts(**progress["counts"])
        self._remove_rejections_after(self._position)
        return self._position

    def restart(self) -> None:
        """Discard the progress and the rejected entries of previous imports.

        Raises:
            OSError: the files cannot be written.
        """
        self.close()
        self.counts, self._position, self._saved_position = Counts(), None, None
        self.listed = self._listed_bytes = 0
        for path in (self.progress_path, self.rejected_path):
            if os.path.exists(path):
                os.remove(path)
        self.save()

    def reject(self, entry: Entry, reason: str) -> None:
        """Append an entry to the file of rejected entries, unless the file has reached its limits.

        Raises:
            OSError: the file cannot be written.
        """
        if self.listed >= MAX_LISTED or self._listed_bytes >= MAX_LISTED_BYTES:
            return
        text = entry.text[:MAX_TEXT]
        line = {"number": entry.position.number, "line": entry.line, "reason": reason, "text": text}
        content = json.dumps(line).encode("ascii") + b"\n"
        if self._rejected_file is None:
            self._check_folder()
            self._rejected_file = open_private(self.rejected_path, "ab")
        self._rejected_file.write(content)
        self._rejected_file.flush()
        self.listed += 1
        self._listed_bytes += len(content)

    def advance(self, position: Position, counts: Counts) -> None:
        """Set the position before which all entries are recorded or rejected."""
        self._position, self.counts = position, counts

    def save(self) -> None:
        """Write the progress, if it has changed since the last save.

        Raises:
            OSError: the file cannot be written.
        """
        if self.path is None or (self._position is self._saved_position and self._position is not None):
            return
        progress = {
            "version": _VERSION,
            "purpose": self._fingerprint(),
            "place": None if self._position is None else asdict(self._position),
            "counts": asdict(self.counts),
        }
        with replace_private(self.progress_path) as file:
            file.write(json.dumps(progress).encode("ascii"))
        self._saved_position = self._position

    def finish(self) -> None:
        """Delete the progress after the last entry."""
        if self.path is not None and os.path.exists(self.progress_path):
            os.remove(self.progress_path)

    def close(self) -> None:
        """Close the list of rejected entries; the next rejection opens it again."""
        if self._rejected_file is not None:
            self._rejected_file.close()
            self._rejected_file = None

    def _load(self) -> dict[str, Any] | None:
        """Return the saved progress; None if it is missing, invalid, or of another file or other settings."""
        if self.path is None:
            return None
        try:
            with open_private(self.progress_path, "rb") as file:
                progress = json.loads(file.read(_MAX_PROGRESS_BYTES))
            is_valid = (
                progress["version"] == _VERSION and progress["purpose"] == self._fingerprint() and progress["place"]
            )
            return progress if is_valid else None
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def _fingerprint(self) -> dict[str, Any]:
        """Return the settings and a digest of the file's first bytes."""
        assert self.path is not None
        with open(self.path, "rb") as file:
            head = hashlib.blake2b(file.read(_HEAD_BYTES), digest_size=16).hexdigest()
        return {**self.settings, "head": head}

    def _remove_rejections_after(self, position: Position) -> None:
        try:
            with open_private(self.rejected_path, "rb") as file:
                # The list has at most this size, unless this program has not written it.
                lines = file.read(MAX_LISTED_BYTES + 8 * MAX_TEXT).splitlines(keepends=True)
        except FileNotFoundError:
            return
        kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["number"] <= position.number]
        self.listed, self._listed_bytes = len(kept), sum(map(len, kept))
        with replace_private(self.rejected_path) as file:
            file.writelines(kept)

    def _check_folder(self) -> None:
        # Who may write the imported file may also write the files next to it.
        check_folder(os.path.dirname(self.prefix), None if self.is_in_state_folder else self.path)
