"""Number of runs that one request to a destination may carry, as this process has learned it.

event                                            current size
nothing known                                    1: single reports
response to a single report announces 256        256
413: the batch is too large                      half of it, for 10 minutes
404, 405, 501: the operation is gone             1, for 10 minutes
10 minutes later                                 the announced size again
"""

from xpander_sdk._clock import monotonic
from xpander_sdk._records import define

_REDUCED_SECONDS = 600.0
_TOO_LARGE = 413
_NO_SUCH_OPERATION = (404, 405, 501)


@define
class BatchSize:
    """Size of the batches of one destination.

    Attributes:
        announced: Number of reports in a request that the backend has announced.
    """

    announced: int = 1
    _reduced: int = 0
    _reduced_until: float = 0.0

    def current(self) -> int:
        """Return the number of runs that the next request may carry."""
        is_reduced = self._reduced and monotonic() < self._reduced_until
        return min(self._reduced, self.announced) if is_reduced else self.announced

    def announce(self, size: int) -> None:
        """Record the number of reports in a request that the backend has announced."""
        self.announced = size

    def reduce(self, sent: int, status: int | None) -> bool:
        """Lower the size after a rejected batch; return whether that may help.

        Args:
            sent: Number of reports in the batch.
            status: Status code of the response.
        """
        if status == _TOO_LARGE:
            self._reduced = max(1, sent // 2)
        elif status in _NO_SUCH_OPERATION:
            self._reduced = 1
        else:
            return False
        self._reduced_until = monotonic() + _REDUCED_SECONDS
        return True
