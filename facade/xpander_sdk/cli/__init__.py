"""xpander-report: send runs, look at them, serve them.

Exit codes: 0 done; 1 refused by the backend; 2 wrong usage or settings; 75 no answer, or the backend is in trouble: try
again later.
"""

import io
import sys

try:
    import click
    import rich  # noqa: F401 - whether it is there
except ModuleNotFoundError as missing:
    sys.exit(f"xpander-report needs {missing.name} at the command line: pip install 'xpander-report[cli]'")

from xpander_sdk import __version__
from xpander_sdk.cli import administration, operating, outbox, reading, sending, transferring


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xpander-report")
def main() -> None:
    """Record AI agents' runs, and look at them.

    The target is XPANDER_BASE_URL (or --base-url): https://… for xpander.ai's cloud or a self-hosted controller,
    http://127.0.0.1:8100 for `xpander-report serve`, sqlite:///runs.db for a file without a server. The key is read
    from XPANDER_API_KEY alone, so that it never stands in a command line.
    """


for _command in (
    sending.send,
    reading.history,
    reading.show,
    reading.metrics,
    outbox.outbox,
    transferring.import_,
    transferring.export,
    operating.doctor,
    operating.serve,
    administration.keys,
    administration.backup,
    administration.restore,
    administration.prune,
):
    main.add_command(_command)


def run() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        # Where a terminal cannot show a character, what it is.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    main(prog_name="xpander-report")
