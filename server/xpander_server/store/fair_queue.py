"""Queue that is fair between organizations and bounded by number and by size.

- **Order.** Organizations take turns: an organization with a thousand reports in the queue delays the report of another
  one by one report.
- **Bounds.** An organization may occupy as much as is left free (a dynamic threshold with the factor 1, as switches use
  for shared buffers). One organization alone can occupy a half of the queue; two that send as much as they can get a
  third each. So there is always space for the first reports of another organization, and none is reserved for
  organizations that send nothing.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define
class _OrganizationQueue(Generic[T]):
    items: deque[tuple[T, int]] = field(factory=deque)
    size: int = 0


class FairQueue(Generic[T]):
    """Queue of items of organizations. Threads may share it.

    Args:
        max_count: Largest number of items.
        max_size: Largest sum of the sizes of the items.
    """

    def __init__(self, max_count: int, max_size: int) -> None:
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, _OrganizationQueue[T]] = OrderedDict()  # the next organization is the first
        self._free_count = max_count
        self._free_size = max_size

    def __len__(self) -> int:
        with self._lock:
            return sum(len(queue.items) for queue in self._queues.values())

    def put_all(self, organization_id: str, items: Sequence[tuple[T, int]]) -> bool:
        """Append one or more items with their sizes, or none if the organization has not enough space left.

        Returns:
            Whether the items were appended.
        """
        size = sum(size for _, size in items)
        with self._lock:
            queue = self._queues.get(organization_id)
            count, used = (0, 0) if queue is None else (len(queue.items), queue.size)
            if count + len(items) > self._free_count or used + size > self._free_size:
                return False
            if queue is None:
                queue = self._queues[organization_id] = _OrganizationQueue()
            queue.items.extend(items)
            queue.size += size
            self._free_count -= len(items)
            self._free_size -= size
            return True

    def take(self, max_count: int, max_size: int) -> list[T]:
        """Remove and return the next items: one of each organization in turn.

        Args:
            max_count: Largest number of items to return.
            max_size: Size from which no further item is added.
        """
        items: list[T] = []
        taken_size = 0
        with self._lock:
            while self._queues and len(items) < max_count and taken_size < max_size:
                organization_id, queue = self._queues.popitem(last=False)
                is_alone = not self._queues
                before = taken_size
                while True:
                    item, size = queue.items.popleft()
                    items.append(item)
                    taken_size += size
                    # An organization that is alone need not give its turn to another one.
                    if not (is_alone and queue.items and len(items) < max_count and taken_size < max_size):
                        break
                if queue.items:
                    queue.size -= taken_size - before
                    self._queues[organization_id] = queue
            self._free_count += len(items)
            self._free_size += taken_size
        return items
