"""Fuzz a running server with valid and invalid requests of its contract. See --help.

Two parts: schemathesis generates requests from the contract, and test_model.py compares the server with a model. Both
use a new store of each kind. The exit status is 1 if either finds a failure.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTRACT = ROOT / "openapi" / "task-report.yaml"
sys.path.insert(0, str(HERE.parent))

from support.postgres import Postgres  # noqa: E402
from support.server import KEY, running_server  # noqa: E402

DEFAULT_SEED = 20260105


def main() -> int:
    """Run both parts, print their results, and return the exit status."""
    parser = argparse.ArgumentParser(description="Test a new server against openapi/task-report.yaml.")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="seed of the generated requests (default: %(default)s)"
    )
    parser.add_argument(
        "--max-examples", type=int, default=200, help="maximum for each operation (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        folder = Path(name)
        # Not within `folder`: PostgreSQL runs as another user if this process runs as root.
        postgres = Postgres(Path(f"{name}-postgresql"))
        try:
            stores = {"SQLite": f"sqlite:///{folder}/store.db", "PostgreSQL": postgres.url()}
            futures = {
                kind: pool.submit(run_schemathesis, folder / f"on {kind}", url, arguments.seed, arguments.max_examples)
                for kind, url in stores.items()
            }
            results = {kind: future.result() for kind, future in futures.items()}
        finally:
            postgres.close()
        model_result = run_model_test(folder)
    passed, failed = (sum(counts) for counts in zip(*results.values(), model_result, strict=True))
    for kind, counts in results.items():
        print(f"requests on {kind}: {counts[0]} passed, {counts[1]} failed")
    print("model, on both: {} passed, {} failed".format(*model_result))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def run_schemathesis(folder: Path, store_url: str, seed: int, max_examples: int) -> tuple[int, int]:
    """Run schemathesis against a server, and return the numbers of requests that passed and failed."""
    folder.mkdir()
    report = folder / "schemathesis.json"
    with running_server(store_url) as server:
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
            "run", str(CONTRACT), "--url", server.url, "--header", f"x-api-key: {KEY}",
            "--phases", "examples,coverage,fuzzing,stateful", "--checks", "all",
            "--seed", str(seed), "--max-examples", str(max_examples),
            "--report", "json", "--report-json-path", str(report),
        ]  # fmt: skip
        hooks_environment = {
            "FUZZ_HOOKS": str(HERE / "hooks.py"), "FUZZ_URL": server.url, "FUZZ_KEY": KEY,
            "FUZZ_CURSORS": json.dumps(create_cursors(server.url)), "FUZZ_CONTRACT": str(CONTRACT),
        }  # fmt: skip
        process = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **hooks_environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    print(f"{store_url.partition(':')[0]}:\n{process.stdout}", flush=True)
    if not report.exists():
        return 0, 1  # schemathesis crashed
    cases = json.loads(report.read_text())["test_cases"]
    failed = cases["with_failures"] + cases["errored"]
    # Any other reason for a non-zero exit status, such as a warning, counts as one failure.
    return cases["generated"] - failed, failed or int(process.returncode != 0)


def create_cursors(url: str) -> dict[str, str]:
    """Return valid cursors of the server by the value of `sort`; those of sorted lists differ from those of others."""
    with httpx.Client(base_url=url, headers={"x-api-key": KEY}) as client:
        for _ in range(2):
            client.post("/agent-execution/paged/report_task", json={}).raise_for_status()
        cursors = {}
        for sort in ("", "duration", "tokens", "cost"):
            parameters = {"limit": 1, **({"sort": sort} if sort else {})}
            page = client.get("/agent-execution/executions/history/paged", params=parameters).raise_for_status()
            cursors[sort] = page.headers["x-next-cursor"]
    return cursors


def run_model_test(folder: Path) -> tuple[int, int]:
    """Run test_model.py, and return the numbers of tests that passed and failed. A skipped test counts as failed."""
    report = folder / "model.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    process = subprocess.run([*command, str(HERE / "test_model.py")], cwd=ROOT)
    if not report.exists():
        return 0, 1
    suites = list(ElementTree.parse(report).getroot())
    total, *not_passed = (
        sum(int(suite.attrib[name]) for suite in suites) for name in ("tests", "errors", "failures", "skipped")
    )
    return total - sum(not_passed), sum(not_passed) or int(process.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
