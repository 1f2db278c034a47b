"""Progress of an import, and its rejected entries, in two files next to the imported file.

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
"""

import hashlib
import json
import os
from typing import Any

from attrs import asdict, define, field

from xpander_sdk.import_export.reader import Entry, Position

_VERSION = 1
_HEAD_BYTES = 4_096


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
    """

    path: str | None
    prefix: str
    settings: dict[str, Any]
    counts: Counts = field(factory=Counts)
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
        self.counts, self._position, self._saved_position = Counts(), None, None
        for path in (self.progress_path, self.rejected_path):
            if os.path.exists(path):
                os.remove(path)
        self.save()

    def reject(self, entry: Entry, reason: str) -> None:
        """Append an entry to the file of rejected entries.

        Raises:
            OSError: the file cannot be written.
        """
        line = {"number": entry.position.number, "line": entry.line, "reason": reason, "text": entry.text}
        with open(self.rejected_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

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
        temporary_path = f"{self.progress_path}.new"
        with open(temporary_path, "w", encoding="utf-8") as file:
            json.dump(progress, file)
        # The replacement is atomic: a killed process leaves the previous progress or this one.
        os.replace(temporary_path, self.progress_path)
        self._saved_position = self._position

    def finish(self) -> None:
        """Delete the progress after the last entry."""
        if self.path is not None and os.path.exists(self.progress_path):
            os.remove(self.progress_path)

    def _load(self) -> dict[str, Any] | None:
        """Return the saved progress; None if it is missing, invalid, or of another file or other settings."""
        if self.path is None:
            return None
        try:
            with open(self.progress_path, encoding="utf-8") as file:
                progress = json.load(file)
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
            with open(self.rejected_path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("\n") and json.loads(line)["number"] <= position.number]
        except FileNotFoundError:
            return
        temporary_path = f"{self.rejected_path}.new"
        with open(temporary_path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(temporary_path, self.rejected_path)
