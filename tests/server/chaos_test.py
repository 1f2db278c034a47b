"""Chaos test: faults of the server, of the database and of the disk under load. The long form of `test_chaos.py`.

    PYTHONPATH=tests python tests/server/chaos_test.py            all scenarios, in about 20 minutes (make chaos)
    PYTHONPATH=tests python tests/server/chaos_test.py frozen_database --seconds 12

Two servers share the store, except on SQLite. Each client sends a report without a response to the other server. After
each fault, reports must be answered again within 5 seconds; at the end, the checks of `crash_test.py` must pass. An
answer other than 200 and 503 fails the test.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from server.crash_test import Client, RestartableServer, check, count_answered, finish, kill_under_load
from support.postgres import NOBODY, running_postgres
from support.proxy import Proxy, running_proxy
from xpander_server.store import Store

RECOVERY_SECONDS = 5.0
"""Time after the end of a fault in which reports must be answered again."""
CLIENTS = 16

Fault = Callable[[], Awaitable[None]]
"""Function that causes a fault, and returns when the fault has ended."""
FaultOf = Callable[[list[RestartableServer]], Fault]


@asynccontextmanager
async def servers_of(url: str, count: int) -> AsyncIterator[list[RestartableServer]]:
    servers = [await asyncio.to_thread(RestartableServer, url) for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)
            await asyncio.to_thread(server.stop)


async def run_faults(servers: list[RestartableServer], fault: Fault, times: int) -> dict[str, Any]:
    """Cause a fault several times under load; return the clients and the times of recovery."""
    ports = [server.port for server in servers]
    clients = [
        Client(number, [*ports[number % len(ports) :], *ports[: number % len(ports)]], float("inf"), timeout=12.0)
        for number in range(CLIENTS)
    ]
    tasks = [asyncio.ensure_future(client.run()) for client in clients]
    recoveries = []
    try:
        for _ in range(times):
            await _next_answer(clients, tasks, 60.0)
            await asyncio.sleep(0.5)
            await fault()
            ended_at = time.monotonic()
            recoveries.append(await _next_answer(clients, tasks, 60.0) - ended_at)
        await finish(clients, tasks)
    finally:
        for task in tasks:
            task.cancel()
    return {"clients": clients, "recovery, s": round(max(recoveries), 2)}


async def _next_answer(clients: list[Client], tasks: "list[asyncio.Future[None]]", seconds: float) -> float:
    """Wait for the next answered report, and return the time of its answer."""
    count, deadline = count_answered(clients), time.monotonic() + seconds
    while count_answered(clients) == count:
        for task in tasks:
            if task.done():
                task.result()
        assert time.monotonic() < deadline, "no report was answered"
        await asyncio.sleep(0.01)
    return max(client.last_answer for client in clients)


def under_load(
    url: str, fault_of: FaultOf, *, times: int = 1, servers: int = 2, checked_url: str = ""
) -> dict[str, Any]:
    """Run servers of a store with clients and faults, and return the results of the checks.

    Args:
        url: URL of the store.
        fault_of: function that returns the fault for the running servers.
        times: number of faults.
        servers: number of servers.
        checked_url: URL of the store for the checks at the end, if it is another one.
    """

    async def main() -> dict[str, Any]:
        async with servers_of(url, servers) as running:
            return await run_faults(running, fault_of(running), times)

    result = asyncio.run(main())
    return {**check(checked_url or url, result.pop("clients")), **result}


def killed_server(times: int, _: float) -> dict[str, Any]:
    """Kill the server of a SQLite store, and start it again."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        return check(url, asyncio.run(kill_under_load(url, times, CLIENTS, seed=1)))


def killed_server_of_postgresql(times: int, _: float) -> dict[str, Any]:
    """Kill the server of a PostgreSQL store, and start it again."""
    with running_postgres("fsync=on") as database:
        return check(database.url(), asyncio.run(kill_under_load(database.url(), times, CLIENTS, seed=1)))


def killed_database(times: int, seconds: float) -> dict[str, Any]:
    """Kill all processes of PostgreSQL, and start it again."""
    with running_postgres("fsync=on") as database:

        async def kill() -> None:
            database.signal_all(signal.SIGKILL)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(database.start_after_kill)

        return under_load(database.url(), lambda _: kill, times=times)


def frozen_database(times: int, seconds: float) -> dict[str, Any]:
    """Freeze all processes of PostgreSQL."""
    with running_postgres("fsync=on") as database:

        async def freeze() -> None:
            database.signal_all(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                database.signal_all(signal.SIGCONT)

        return under_load(database.url(), lambda _: freeze, times=times)


def vanished_host(times: int, seconds: float) -> dict[str, Any]:
    """Let the host of PostgreSQL vanish without closing connections, and return without knowing them."""
    with running_postgres("fsync=on") as database, running_proxy(database.port) as proxy:

        async def vanish() -> None:
            proxy.go_silent()
            await asyncio.sleep(seconds)
            proxy.speak()

        return under_load(proxied(proxy), lambda _: vanish, times=times, checked_url=database.url())


def frozen_server(times: int, seconds: float) -> dict[str, Any]:
    """Freeze one of two servers. The other one must answer while the first one is frozen, and after it continues."""
    with running_postgres("fsync=on") as database:

        def fault_of(servers: list[RestartableServer]) -> Fault:
            state = {"number": signal.SIGCONT}

            async def freeze_or_continue() -> None:
                if state["number"] == signal.SIGSTOP:
                    await asyncio.sleep(seconds)
                state["number"] = signal.SIGSTOP if state["number"] == signal.SIGCONT else signal.SIGCONT
                servers[0].signal(state["number"])

            return freeze_or_continue

        return under_load(database.url(), fault_of, times=2 * times)


def failover(_: int, seconds: float) -> dict[str, Any]:
    """Kill the primary, promote its synchronous standby, and let the address lead to it."""
    with running_postgres("fsync=on") as primary:
        Store(primary.url()).close()  # creates the tables before the copy
        with primary.standby() as standby, running_proxy(primary.port) as proxy:
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            primary.execute("SELECT pg_reload_conf()")

            async def fail_over() -> None:
                primary.signal_all(signal.SIGKILL)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(standby.promote)
                proxy.target = standby.port

            try:
                return under_load(proxied(proxy), lambda _: fail_over, checked_url=standby.url())
            finally:
                primary.start_after_kill()


def full_disk(_: int, seconds: float) -> dict[str, Any]:
    """Fill the disk of a SQLite store, and make room again."""
    with small_disk(48) as folder:
        url = f"sqlite:///{folder}/store.db"
        return under_load(url, lambda _: lambda: fill(folder, seconds), servers=1)


def full_disk_of_postgresql(_: int, seconds: float) -> dict[str, Any]:
    """Fill the disk of the tables of PostgreSQL, and make room again."""
    with small_disk(96) as folder, running_postgres("fsync=on") as database:
        tablespace = folder / "tablespace"
        tablespace.mkdir()
        shutil.chown(tablespace, NOBODY, NOBODY)
        database.execute(f"CREATE TABLESPACE small LOCATION '{tablespace}'")
        database.execute("CREATE DATABASE small TABLESPACE small")
        return under_load(database.url("small"), lambda _: lambda: fill(folder, seconds))


async def fill(folder: Path, seconds: float) -> None:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                file.write(bytes(65_536))
            except OSError:  # it is full; a checkpoint may make room again
                await asyncio.sleep(0.1)
    ballast.unlink()


def proxied(proxy: Proxy) -> str:
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Yield a folder on a file system of its own; only root may mount one."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


SCENARIOS: dict[str, tuple[Callable[[int, float], dict[str, Any]], int, float]] = {
    "killed_server": (killed_server, 200, 0.0),
    "killed_server_of_postgresql": (killed_server_of_postgresql, 200, 0.0),
    "killed_database": (killed_database, 20, 0.5),
    "failover": (failover, 1, 2.0),
    "vanished_host": (vanished_host, 2, 15.0),
    "frozen_database": (frozen_database, 2, 15.0),
    "frozen_server": (frozen_server, 3, 10.0),
    "full_disk": (full_disk, 1, 15.0),
    "full_disk_of_postgresql": (full_disk_of_postgresql, 1, 15.0),
}
"""Scenario, number of faults, and seconds of each, by name."""
ONLY_ROOT = ("full_disk", "full_disk_of_postgresql")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"default: all of {', '.join(SCENARIOS)}")
    parser.add_argument("--times", type=int, help="number of faults")
    parser.add_argument("--seconds", type=float, help="duration of each fault")
    arguments = parser.parse_args()
    has_passed = True
    for name in arguments.scenarios or SCENARIOS:
        if name in ONLY_ROOT and os.geteuid() != 0:
            print(f"{name}: skipped, because only root may mount a file system")
            continue
        run, times, seconds = SCENARIOS[name]
        seconds = seconds if arguments.seconds is None else arguments.seconds
        result = run(arguments.times or times, seconds)
        has_passed &= is_right(result)
        print(json.dumps({"scenario": name, **result}), flush=True)
    sys.exit(0 if has_passed else 1)


def is_right(result: dict[str, Any]) -> bool:
    is_exact = result["lost"] == result["doubled"] == 0 and result["metrics equal a rebuild"]
    return is_exact and result.get("recovery, s", 0.0) <= RECOVERY_SECONDS


if __name__ == "__main__":
    main()
