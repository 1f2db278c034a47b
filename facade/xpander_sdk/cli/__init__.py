"""Command line `xpander-report`: report runs, read history and metrics, run the server.

Each module has the name of its command; `import_runs` has the command `import`.
"""

import io
import sys

try:
    import click
    import rich  # noqa: F401 - checked here for a short error message
except ModuleNotFoundError as missing:
    sys.exit(f"xpander-report needs {missing.name}; install it with pip install 'xpander-report[cli]'")

from xpander_sdk import __version__, _exit
from xpander_sdk.cli import (
    agents,
    audit,
    backup,
    conform,
    doctor,
    erase,
    export,
    history,
    import_runs,
    keys,
    metrics,
    outbox,
    prices,
    prune,
    reprice,
    restore,
    send,
    serve,
    show,
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
URLs of backends:
  https://…                   xpander.ai's cloud, or a self-hosted controller
  http://127.0.0.1:8100       server of `xpander-report serve`
  sqlite:///FILE              database file, without a server
  postgresql://…/DATABASE     database, without a server""",
)
@click.version_option(__version__, prog_name="xpander-report")
def main() -> None:
    """Report runs of AI agents, and read them.

    XPANDER_BASE_URL or --base-url names the backend. The API key is read from XPANDER_API_KEY only, so that it appears
    in no command line and no list of processes.
    """


for _command in (
    send.send,
    history.history,
    show.show,
    agents.agents,
    metrics.metrics,
    import_runs.import_files,
    export.export,
    outbox.outbox,
    doctor.doctor,
    conform.conform,
    serve.serve,
    keys.keys,
    backup.backup,
    restore.restore,
    prune.prune,
    erase.erase,
    audit.audit,
    prices.prices,
    reprice.reprice,
):
    main.add_command(_command)


def run() -> None:
    """Run the command line of this process."""
    _exit.disable()  # Commands that inspect an outbox must not deliver its reports.
    for stream in (sys.stdout, sys.stderr):
        # Where the encoding lacks a character, print its escape sequence instead of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    main(prog_name="xpander-report")
