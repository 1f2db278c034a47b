"""The command `xpander-report`, whose searches and lists end at a full page only.

Otherwise they also end after a part of a second, and a page has fewer tasks on a busy machine than a test expects.
"""

from xpander_sdk.cli import run
from xpander_server.store import task_query

task_query.SEEK_SECONDS = task_query.LIST_SECONDS = 60.0

if __name__ == "__main__":
    run()
