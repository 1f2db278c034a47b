"""End of child processes that skip `atexit`.

    Child of                        Its end                   Hook
    multiprocessing, billiard       util._exit_function()     util.Finalize
    celery's worker                 signal, then os._exit()   signals.worker_process_shutdown
    os.fork(), then sys.exit()      atexit                    none: `_exit` does it

None of these libraries is imported here: a child of one has imported it already.
"""

import sys
from collections.abc import Callable
from typing import Any

_PRIORITY = -10  # After the finalizers that pass on the results of the child: those of queues have -5.


def call_at_end_of_child(callback: Callable[[], None]) -> None:
    """Call a function at the end of this process, if it is a child that skips `atexit`.

    Args:
        callback: Function without arguments; it may be called more than once.
    """
    for library in ("multiprocessing", "billiard"):
        process, util = sys.modules.get(f"{library}.process"), sys.modules.get(f"{library}.util")
        if process and util and getattr(process.current_process(), "_parent_pid", None) is not None:
            util.Finalize(None, callback, exitpriority=_PRIORITY)
    celery_signals = sys.modules.get("celery.signals")
    if celery_signals:

        def on_shutdown(**_: Any) -> None:
            callback()

        celery_signals.worker_process_shutdown.connect(on_shutdown, weak=False)
