"""Programs that submit reports and end; none of them waits for the delivery."""

import asyncio
import atexit
import logging
import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

from runtimes.programs.common import AGENT_ID, exit_code, fork, run_scenario
from xpander_sdk import Backend, Configuration, OutboxSettings

logging.getLogger("xpander_sdk").setLevel(logging.ERROR)  # a busy machine may cause warnings of late responses
# Long enough for a busy machine, which needs seconds to import an embedded store.
backend = Backend(Configuration(outbox=OutboxSettings(exit_seconds=30)))


def submit(name: str = "run-0") -> None:
    backend.submit_external_task(id=f"{AGENT_ID}-{name}", result=name)


def submit_number(number: int) -> int:
    submit(f"run-{number}")
    return number


def end() -> None:
    submit()


def raise_exception() -> None:
    submit()
    raise LookupError("of the program")


def call_sys_exit() -> None:
    submit()
    sys.exit(3)


def submit_in_thread() -> None:
    threading.Thread(target=submit).start()


def submit_in_daemon_thread() -> None:
    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    thread.join()


def submit_in_event_loop() -> None:
    async def main() -> None:
        await backend.asubmit_external_task(id=f"{AGENT_ID}-run-0", result="run-0")

    asyncio.run(main())


def submit_in_exit_handler() -> None:
    atexit.register(submit)


def submit_after_the_outbox_has_ended() -> None:
    """Submit in an exit handler that runs after that of the package."""
    from xpander_sdk import _exit

    atexit.unregister(_exit._deliver)
    atexit.register(submit)
    atexit.register(_exit._deliver)
    submit("run-1")


def submit_in_forked_child() -> None:
    assert exit_code(fork(submit)) == 0


def submit_in_processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=submit_number, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def submit_in_pool(method: str) -> None:
    """Use a pool that kills its processes at the end of the block."""
    with multiprocessing.get_context(method).Pool(4) as pool:
        assert pool.map(submit_number, range(8)) == list(range(8))


def submit_in_closed_pool(method: str) -> None:
    pool = multiprocessing.get_context(method).Pool(4)
    pool.map(submit_number, range(8))
    pool.close()
    pool.join()


def submit_in_executor(method: str) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context(method)) as executor:
        assert list(executor.map(submit_number, range(8))) == list(range(8))


def submit_nothing() -> None:
    print("registry" if "xpander_sdk.outbox.registry" in sys.modules else "no registry")


if __name__ == "__main__":
    run_scenario(globals())
