"""Mutation test of the modules without I/O: do their unit tests notice small changes of the code?

cosmic-ray makes one small change at a time (another comparison, a constant off by one, `and` for `or`) in a copy of the
project, and runs the tests of that module. A change that no test notices survives. `accepted.toml` explains survivors
that change nothing a test could notice; all others count.

    python tests/mutation/mutants.py                        all modules; takes hours on 2 cores
    python tests/mutation/mutants.py outbox/policy tokens   the modules whose paths contain one of the texts
    python tests/mutation/mutants.py --sample 150           at most 150 changes of a module, always the same ones

The command fails if the tests notice less than 90 % of the changes of a module.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
COSMIC_RAY = ROOT / ".mutants-venv" / "bin" / "cosmic-ray"
COPIED = ("generated", "facade", "server", "openapi", "tests", "pyproject.toml")
PACKAGE_FOLDERS = ("generated", "facade", "server")
WARM_PYTEST = "tests/mutation/warm_pytest.py"
SOCKET = "pytest.socket"
TIMEOUT = 180  # seconds for the tests of one mutant, for changes that cause an endless wait
REQUIRED_SCORE = 0.9

SDK, CAPTURE, SERVER = "facade/xpander_sdk", "facade/xpander_capture", "server/xpander_server"
RESPONSES = (
    *("unit/test_response_reading.py", "unit/test_responses_apis.py", "unit/test_responses.py"),
    "unit/test_responses_streams.py",
)
SPANS = (
    *(
        "unit/test_spans_values.py",
        "unit/test_spans_messages.py",
        "unit/test_spans_otlp_json.py",
        "unit/test_spans_summary.py",
    ),
    *("unit/test_spans_usage.py", "unit/test_spans_runs.py", "unit/test_spans_rule.py"),
    *("unit/test_spans_recordings.py", "unit/test_import_export_otlp.py"),
)
MODULES: dict[str, tuple[str, ...]] = {
    f"{SERVER}/domain/task.py": ("unit/test_server_task.py",),
    f"{SERVER}/domain/model_calls.py": ("unit/test_server_model_calls.py",),
    f"{SERVER}/domain/metrics.py": ("unit/test_server_metrics.py",),
    f"{SERVER}/domain/pricing/cost.py": ("unit/test_pricing.py",),
    f"{SERVER}/domain/pricing/run_cost.py": ("unit/test_pricing.py",),
    f"{SERVER}/domain/pricing/model_names.py": ("unit/test_pricing.py",),
    f"{SERVER}/domain/pricing/price_list.py": ("unit/test_pricing.py",),
    f"{SERVER}/domain/pricing/own_prices.py": ("unit/test_pricing.py",),
    f"{SERVER}/domain/pricing/chat_completion.py": ("unit/test_server_chat_completion.py",),
    f"{SERVER}/domain/pricing/response_text.py": ("unit/test_server_response_text.py",),
    f"{SERVER}/auth/rate_limit.py": ("unit/test_server_rate_limit.py",),
    f"{SDK}/outbox/policy.py": ("outbox/test_policy.py",),
    f"{SDK}/settings/retry.py": ("unit/test_retry.py",),
    f"{SDK}/client/retry_budget.py": ("unit/test_retry.py",),
    f"{SDK}/client/request_flow.py": ("unit/test_request_flow.py",),
    f"{SDK}/client/report_fields.py": ("unit/test_client_report_fields.py",),
    f"{SDK}/reporting/validation.py": ("unit/test_validation.py", "unit/test_calls.py"),
    f"{SDK}/reporting/calls.py": ("unit/test_calls.py",),
    f"{SDK}/reporting/metadata.py": ("unit/test_calls.py",),
    f"{SDK}/reporting/json_encoder.py": ("unit/test_json_encoder.py", "unit/test_read_once.py"),
    f"{SDK}/runs/arguments.py": ("unit/test_run_rules.py",),
    f"{SDK}/runs/ends.py": ("unit/test_run_rules.py",),
    f"{SDK}/runs/items.py": ("unit/test_run_rules.py",),
    f"{CAPTURE}/responses/anthropic.py": RESPONSES,
    f"{CAPTURE}/responses/bedrock.py": RESPONSES,
    f"{CAPTURE}/responses/cohere.py": RESPONSES,
    f"{CAPTURE}/responses/draft.py": RESPONSES,
    f"{CAPTURE}/responses/frameworks.py": RESPONSES,
    f"{CAPTURE}/responses/gemini.py": RESPONSES,
    f"{CAPTURE}/responses/ollama.py": RESPONSES,
    f"{CAPTURE}/responses/openai_chat.py": RESPONSES,
    f"{CAPTURE}/responses/openai_responses.py": RESPONSES,
    f"{CAPTURE}/responses/reading.py": RESPONSES,
    f"{CAPTURE}/responses/streams.py": RESPONSES,
    f"{CAPTURE}/responses/summarize.py": RESPONSES,
    f"{CAPTURE}/responses/summary.py": RESPONSES,
    f"{CAPTURE}/responses/usage.py": (*RESPONSES, "unit/test_usage.py"),
    f"{CAPTURE}/spans/known_names.py": ("unit/test_spans_known_names.py", *SPANS),
    f"{CAPTURE}/spans/messages.py": SPANS,
    f"{CAPTURE}/spans/otlp_json.py": SPANS,
    f"{CAPTURE}/spans/runs.py": SPANS,
    f"{CAPTURE}/spans/summary.py": SPANS,
    f"{CAPTURE}/spans/tree.py": SPANS,
    f"{CAPTURE}/spans/usage.py": SPANS,
    f"{CAPTURE}/spans/values.py": SPANS,
}
"""Modules by path, and their tests by path below `tests`."""

# The `|` of annotations, and arithmetic operators with more than one replacement.
EXCLUDED_OPERATORS = (
    "core/ReplaceBinaryOperator_BitOr_.*",
    "core/ReplaceBinaryOperator_.*_(Mod|FloorDiv|Pow|LShift|RShift|BitOr|BitAnd|BitXor)",
)


@frozen
class Survivor:
    """Change that no test has noticed.

    Attributes:
        line: Number of the changed line.
        operator: Kind of the change.
        difference: The change as lines with - and +.
    """

    line: int
    operator: str
    difference: str


@frozen
class Result:
    """Result of one module.

    Attributes:
        module: Path of the module.
        total: Number of changes that were tested.
        possible: Number of changes of the module, which is larger if a sample was tested.
        survivors: Changes that no test has noticed, and that are not accepted.
        accepted: Number of survivors that `accepted.toml` explains.
    """

    module: str
    total: int
    possible: int
    survivors: list[Survivor]
    accepted: int

    @property
    def score(self) -> float:
        """Share of the changes that the tests notice, of those that a test can notice."""
        noticeable = self.total - self.accepted
        return 1.0 if not noticeable else 1 - len(self.survivors) / noticeable


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="texts of which the path of a module contains one")
    parser.add_argument("--jobs", type=int, default=2, help="modules at the same time")
    parser.add_argument("--sample", type=int, help="most changes of a module, selected at random with a fixed seed")
    arguments = parser.parse_args()
    selected = [name for name in MODULES if not arguments.modules or any(text in name for text in arguments.modules)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = []
        for result in pool.map(lambda module: measure(module, arguments.sample), selected):
            results.append(result)
            print_result(result)
    if not results or any(result.score < REQUIRED_SCORE for result in results):
        sys.exit(1)


def print_result(result: Result) -> None:
    """Print the score of a module and its survivors."""
    for survivor in result.survivors:
        print(f"{result.module}:{survivor.line} {survivor.operator}\n{survivor.difference}\n")
    noticed = result.total - result.accepted - len(result.survivors)
    accepted = f", {result.accepted} accepted" if result.accepted else ""
    sampled = f" (a sample of {result.possible})" if result.total < result.possible else ""
    changes = f"{noticed} of {result.total} changes{sampled} noticed{accepted}"
    print(f"{result.score:6.1%} {result.module}: {changes}", flush=True)


def measure(module: str, sample: int | None = None) -> Result:
    """Make the changes one after another in a copy of the project, and return the result of the module."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
            else:
                shutil.copy(source, copy / name)
        configuration, session = copy / "cosmic-ray.toml", copy / "session.sqlite"
        configuration.write_text(_configuration(module))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(copy / name) for name in PACKAGE_FOLDERS),
        }

        def run(*arguments: object) -> str:
            command = [str(argument) for argument in arguments]
            completed = subprocess.run(
                command, cwd=copy, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            return completed.stdout

        server = [sys.executable, WARM_PYTEST, "serve", SOCKET, _name(module), *_pytest_arguments(module)]
        with subprocess.Popen(server, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise RuntimeError(f"the tests of {module} must succeed without a change")
                run(COSMIC_RAY, "init", configuration, session)
                run(COSMIC_RAY.with_name("cr-filter-operators"), session, configuration)
                possible = _select(session, sample)
                run(COSMIC_RAY, "exec", configuration, session)
                lines = run(COSMIC_RAY, "dump", session).splitlines()
            finally:
                process.kill()
    return _read_result(module, possible, [json.loads(line) for line in lines])


def _name(module: str) -> str:
    (folder,) = [folder for folder in PACKAGE_FOLDERS if module.startswith(f"{folder}/")]
    return module.removeprefix(f"{folder}/").removesuffix(".py").replace("/", ".")


def _pytest_arguments(module: str) -> list[str]:
    # Without conftest.py, whose fixtures need servers and stores: the tests of these modules use none of them.
    options = ["-x", "-q", "--tb=no", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # pytest is imported before its plugins are
    return [*options, *(f"tests/{name}" for name in MODULES[module])]


def _select(session: Path, sample: int | None) -> int:
    """Skip all changes except for a sample, and return the number of all changes."""
    with closing(sqlite3.connect(session)) as connection, connection:
        pending = connection.execute(
            """SELECT job_id FROM mutation_specs WHERE job_id NOT IN (SELECT job_id FROM work_results)
            ORDER BY start_pos_row, start_pos_col, operator_name, occurrence"""
        ).fetchall()
        if sample is not None and sample < len(pending):
            skipped = random.Random(0).sample(pending, len(pending) - sample)
            connection.executemany("INSERT INTO work_results (worker_outcome, job_id) VALUES ('SKIPPED', ?)", skipped)
    return len(pending)


def _configuration(module: str) -> str:
    command = shlex.join([sys.executable, "-S", "-E", WARM_PYTEST, "run", SOCKET])
    return "\n".join(
        [
            "[cosmic-ray]",
            f"module-path = {json.dumps(module)}",
            f"timeout = {TIMEOUT}.0",
            "excluded-modules = []",
            f"test-command = {json.dumps(command)}",
            "[cosmic-ray.distributor]",
            'name = "local"',
            "[cosmic-ray.filters.operators-filter]",
            f"exclude-operators = {json.dumps(EXCLUDED_OPERATORS)}",
        ]
    )


def _read_result(module: str, possible: int, lines: list[Any]) -> Result:
    accepted = tomllib.loads(Path(__file__).with_name("accepted.toml").read_text("utf-8")).get(module, [])
    total, survivors, accepted_count = 0, [], 0
    for item, result in lines:
        if result is None or result["worker_outcome"].lower() == "skipped":
            continue
        total += 1
        if result["test_outcome"].lower() != "survived":
            continue
        (mutation,) = item["mutations"]
        difference = "\n".join(
            line for line in result["diff"].splitlines() if line[:1] in "+-" and not line.startswith(("---", "+++"))
        )
        if any(entry["change"].strip() == difference for entry in accepted):
            accepted_count += 1
        else:
            survivors.append(Survivor(mutation["start_pos"][0], mutation["operator_name"], difference))
    return Result(module, total, possible, survivors, accepted_count)


if __name__ == "__main__":
    main()
