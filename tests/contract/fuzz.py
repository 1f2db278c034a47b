"""Fuzz a really started server: every request that its contract allows, and many that it does not. See --help."""

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
sys.path.insert(0, str(HERE.parent))

from support.postgres import Postgres  # noqa: E402
from support.server import KEY, running_server  # noqa: E402

SEED = 20260105


def main() -> int:
    parser = argparse.ArgumentParser(description="Test a freshly started server against openapi/task-report.yaml.")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="another one sends other requests (default: %(default)s)"
    )
    parser.add_argument("--max-examples", type=int, default=200, help="for each operation (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        folder = Path(name)
        postgres = Postgres(Path(f"{name}-postgresql"))  # not below a folder that only root may enter
        try:
            stores = {"SQLite": f"sqlite:///{folder}/store.db", "PostgreSQL": postgres.url()}
            fuzzing = {
                kind: pool.submit(_schemathesis, folder / f"on {kind}", url, arguments.seed, arguments.max_examples)
                for kind, url in stores.items()
            }
            fuzzed = {kind: future.result() for kind, future in fuzzing.items()}
        finally:
            postgres.close()
        checked = _model(folder)
    passed, failed = (sum(counts) for counts in zip(*fuzzed.values(), checked, strict=True))
    for kind, counts in fuzzed.items():
        print(f"requests on {kind}: {counts[0]} passed, {counts[1]} failed")
    print("model, on both: {} passed, {} failed".format(*checked))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _schemathesis(folder: Path, store_url: str, seed: int, max_examples: int) -> tuple[int, int]:
    """Requests that passed, and that failed."""
    folder.mkdir()
    report = folder / "schemathesis.json"
    with running_server(store_url) as server:
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
            "run", str(ROOT / "openapi" / "task-report.yaml"), "--url", server.url, "--header", f"x-api-key: {KEY}",
            "--phases", "examples,coverage,fuzzing,stateful", "--checks", "all",
            "--seed", str(seed), "--max-examples", str(max_examples),
            "--report", "json", "--report-json-path", str(report),
        ]  # fmt: skip
        hooks = {
            "FUZZ_HOOKS": str(HERE / "hooks.py"), "FUZZ_URL": server.url, "FUZZ_KEY": KEY,
            "FUZZ_CURSOR": _cursor(server.url),
        }  # fmt: skip
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **hooks},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    print(f"{store_url.partition(':')[0]}:\n{done.stdout}", flush=True)
    if not report.exists():
        return 0, 1  # it crashed
    cases = json.loads(report.read_text())["test_cases"]
    failed = cases["with_failures"] + cases["errored"]
    # Whatever else it complains about (a warning, a crash) counts as one more.
    return cases["generated"] - failed, failed or int(done.returncode != 0)


def _cursor(url: str) -> str:
    """A cursor, as the server gives them."""
    with httpx.Client(base_url=url, headers={"x-api-key": KEY}) as client:
        for _ in range(2):
            client.post("/agent-execution/paged/report_task", json={}).raise_for_status()
        page = client.get("/agent-execution/executions/history/paged", params={"limit": 1}).raise_for_status()
    return page.headers["x-next-cursor"]


def _model(folder: Path) -> tuple[int, int]:
    """Tests of the model that passed, and that failed."""
    report = folder / "model.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    done = subprocess.run([*command, str(HERE / "test_model.py")], cwd=ROOT)
    if not report.exists():
        return 0, 1
    suites = list(ElementTree.parse(report).getroot())
    total, *others = (sum(int(s.attrib[n]) for s in suites) for n in ("tests", "errors", "failures", "skipped"))
    # A test that was skipped has not passed either.
    return total - sum(others), sum(others) or int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
