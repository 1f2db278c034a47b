"""First report of a new process into an embedded SQLite file: CPU time of the process, beyond bare Python.

    new file              the file does not exist
    existing file         another process has created it
    model named           a new file, and a response that names a model, whose price is then needed
    import                `import xpander_sdk` alone

`make bench-cold-start` prints the medians and the shortest times. The bytecode of all modules is written first: without
it, the times double. CPU time depends less on other programs than the time of a clock does, but still varies with them.
"""

import statistics
import subprocess
import sys
import tempfile

IMPORT = "import xpander_sdk; "
REPORT = """
from xpander_sdk import Backend, Configuration

backend = Backend(Configuration(base_url="sqlite:///store.db"))
backend.report_external_task("agent-1", result="4", llm_response={response})
"""
RESPONSE = {"model": "gpt-4o", "usage": {"prompt_tokens": 2140, "completion_tokens": 380}}
PRINT = "import time; print(time.process_time())"
CASES = {
    "bare Python": ["", ""],
    "import": [IMPORT, ""],
    "new file": [REPORT.format(response=None), ""],
    "existing file": [REPORT.format(response=None), REPORT.format(response=None)],
    "model named": [REPORT.format(response=RESPONSE), ""],
}
"""Program that is measured, and the one that runs before it in the same folder."""


def measure(program: str, earlier: str) -> float:
    """Return the CPU time of a program in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        if earlier:
            _run(earlier, folder)
        return float(_run(f"{program}\n{PRINT}", folder)) * 1_000


def _run(program: str, folder: str) -> str:
    # Without the variables of the caller, such as PYTHONDONTWRITEBYTECODE.
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=True).stdout


def main() -> None:
    rounds = 5 if "--quick" in sys.argv else 15
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(rounds + 1):
        for name, programs in CASES.items():
            elapsed = measure(*programs)
            if number:  # The first round writes the bytecode.
                times[name].append(elapsed)
    bare = min(times["bare Python"])
    print(f"{'':16}{'median':>10}{'shortest':>10}   CPU ms beyond bare Python ({bare:.0f} ms), {rounds} processes each")
    for name in list(CASES)[1:]:
        print(f"{name:16}{statistics.median(times[name]) - bare:10.0f}{min(times[name]) - bare:10.0f}")


if __name__ == "__main__":
    main()
