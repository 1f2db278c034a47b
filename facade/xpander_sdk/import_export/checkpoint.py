"""What an import writes beside the file that it reads: how far it came, and what was refused.

`FILE.progress` is there while an import is under way, and after one that was broken off. `FILE.rejected.jsonl` is there
where something was refused: an object a line, with `line`, `reason` and `text`.
"""

import hashlib
import json
import os
from typing import Any

from attrs import asdict, define, field

from xpander_sdk.import_export.reader import Entry, Position

_VERSION = 1
_HEAD = 4_096


@define
class Counts:
    """What has become of the entries of a file."""

    recorded: int = 0
    rejected: int = 0


@define
class Checkpoint:
    """The side files of one source.

    Args:
        path: the file that is read; None where it cannot be read again: then nothing is remembered.
        beside: what the side files are called, without their endings.
        purpose: what must be the same for a place to hold: where to, and how the file is read.
    """

    path: str | None
    beside: str
    purpose: dict[str, Any]
    counts: Counts = field(factory=Counts)
    _place: Position | None = None
    _saved: Position | None = None

    @property
    def progress_path(self) -> str:
        return f"{self.beside}.progress"

    @property
    def rejected_path(self) -> str:
        return f"{self.beside}.rejected.jsonl"

    def resume(self) -> Position | None:
        """Where an import of the same file for the same purpose was broken off; what was refused before that is kept.

        Raises:
            OSError: the side files cannot be written.
        """
        found = self._load()
        if found is None:
            self.restart()
            return None
        self._place = self._saved = Position(**found["place"])
        self.counts = Counts(**found["counts"])
        self._keep_rejected(self._place)
        return self._place

    def restart(self) -> None:
        """Forget what was before."""
        self.counts, self._place, self._saved = Counts(), None, None
        for path in (self.progress_path, self.rejected_path):
            if os.path.exists(path):
                os.remove(path)
        self.save()

    def reject(self, entry: Entry, reason: str) -> None:
        line = {"number": entry.place.number, "line": entry.line, "reason": reason, "text": entry.text}
        with open(self.rejected_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def reached(self, place: Position, counts: Counts) -> None:
        """Everything up to `place` is recorded or refused."""
        self._place, self.counts = place, counts

    def save(self) -> None:
        """Keep how far it came."""
        if self.path is None or (self._place is self._saved and self._place is not None):
            return
        content = {
            "version": _VERSION,
            "purpose": self._told_purpose(),
            "place": None if self._place is None else asdict(self._place),
            "counts": asdict(self.counts),
        }
        fresh = f"{self.progress_path}.new"
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(fresh, self.progress_path)
        self._saved = self._place

    def finish(self) -> None:
        """The source is at its end."""
        if self.path is not None and os.path.exists(self.progress_path):
            os.remove(self.progress_path)

    def _load(self) -> dict[str, Any] | None:
        if self.path is None:
            return None
        try:
            with open(self.progress_path, encoding="utf-8") as file:
                found = json.load(file)
            is_ours = found["version"] == _VERSION and found["purpose"] == self._told_purpose() and found["place"]
            return found if is_ours else None
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def _told_purpose(self) -> dict[str, Any]:
        assert self.path is not None
        with open(self.path, "rb") as file:
            head = hashlib.blake2b(file.read(_HEAD), digest_size=16).hexdigest()
        return {**self.purpose, "head": head}

    def _keep_rejected(self, place: Position) -> None:
        # What was refused after the place will be so again.
        try:
            with open(self.rejected_path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("\n") and json.loads(line)["number"] <= place.number]
        except FileNotFoundError:
            return
        with open(f"{self.rejected_path}.new", "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(f"{self.rejected_path}.new", self.rejected_path)
