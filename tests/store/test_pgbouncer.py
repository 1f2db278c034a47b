"""Store behind PgBouncer in transaction mode."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from store.reports import submission
from support.postgres import NOBODY
from xpander_server.store import Store

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PGBOUNCER is None, reason="needs PgBouncer (Debian: apt-get install pgbouncer)"),
]


@pytest.fixture
def pooled_url(postgresql_url: str) -> Iterator[str]:
    """Return the URL of an empty database behind PgBouncer with two connections to PostgreSQL."""
    port, _, database = postgresql_url.rpartition(":")[2].partition("/")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own_port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {own_port}\nunix_socket_dir =\nauth_type = any\nauth_file = {folder}/users\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        owner = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        folder.chmod(0o755)
        command = [str(PGBOUNCER), "-q", str(folder / "ini")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, **owner) as process:
            try:
                yield f"postgresql://postgres@127.0.0.1:{own_port}/{database}"
            finally:
                process.terminate()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_store_works_behind_pgbouncer_in_transaction_mode(pooled_url):
    wait_for(pooled_url)
    stores = [Store(pooled_url) for _ in range(2)]

    def report(number: int) -> None:
        store = stores[number % 2]
        for update in range(10):
            store.report(submission(f"{number} {update // 2}", **{"input" if update % 2 else "result": "x"}))
            assert store.task("org", f"{number} {update // 2}") is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(report, range(16)))
    assert stores[0].metrics("org").amounts["executing runs"] == 80
    assert [store.health.failed_part() for store in stores] == [None, None]
    for store in stores:
        store.close()
    # Nothing of the transactions is left on the connections of PgBouncer.
    with psycopg.connect(pooled_url, autocommit=True, prepare_threshold=None) as connection:
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            values = Counter(connection.execute(f"SHOW {name}").fetchone() for _ in range(10))
            assert values == {("0",): 10}
        count = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        assert count == (0,)
