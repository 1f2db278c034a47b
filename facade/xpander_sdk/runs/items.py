"""Items of a generator or of a streaming response, from which its result is built."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpander_sdk.runs.run import Run
    from xpander_sdk.runs.tracker import Tracker

MAX_TEXT = 1_000_000
"""Largest number of characters that are kept of the texts."""

MAX_ITEMS = 10_000
"""Largest number of items that are kept. Of more, the first half and the latest ones are kept."""


class Items:
    """Items in their order: texts are joined, other items are read as the chunks of a provider's stream."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._length = 0
        self._is_text = True

    def add(self, item: Any) -> None:
        """Keep an item, within the limits."""
        if isinstance(item, bytes | bytearray | memoryview):
            item = bytes(item).decode("utf-8", "replace")
        if isinstance(item, str):
            item = item[: MAX_TEXT - self._length]
            self._length += len(item)
            if not item and self._is_text:
                return
        else:
            self._is_text = False
        self._items.append(item)
        if self._is_text:
            if len(self._items) >= MAX_ITEMS:
                self._items = ["".join(self._items)]
        elif len(self._items) >= MAX_ITEMS:
            del self._items[MAX_ITEMS // 2 : -MAX_ITEMS // 10]

    def finish(self, run: "Run", tracker: "Tracker") -> None:
        """Make the items the result of the run, and forget them."""
        items, self._items = self._items, []
        if items:
            tracker.take_items(run, "".join(items) if self._is_text else items)
