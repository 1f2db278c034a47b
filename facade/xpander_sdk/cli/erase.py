"""Command `erase`: delete the contents of tasks for good."""

import getpass
from contextlib import suppress

import click

from xpander_sdk.cli.options import TIME, confirm, examples, organization_option, store_command, yes_option
from xpander_sdk.cli.render.text import count_noun
from xpander_sdk.reporting.validation import parse_datetime


@click.command(
    epilog=examples(
        "xpander-report erase --task run-1",
        "xpander-report erase --user user-7 --yes",
        "xpander-report erase --agent agent-123 --before 30d",
    )
)
@store_command
@organization_option
@click.option("--task", "task_id", metavar="ID", help="Erase this task.")
@click.option("--user", "user_id", metavar="ID", help="Erase the tasks of this user.")
@click.option("--agent", "agent_id", metavar="ID", help="Erase the tasks of this agent.")
@click.option("--before", type=TIME, metavar="TIME", help="Erase tasks created before this time: ISO 8601, or 30d.")
@yes_option
def erase(
    store: str,
    organization_id: str,
    task_id: str | None,
    user_id: str | None,
    agent_id: str | None,
    before: str | None,
    yes: bool,
) -> None:
    """Erase the contents of tasks; metrics stay.

    A task must meet all conditions. Input, result, response, error, user, conversation, metadata and updates are
    deleted for good. Reports that arrive later for an erased task are refused. `xpander-report audit` shows who erased
    what. Copies in backups, exports and outboxes are not affected.
    """
    from xpander_server.admin import erase_tasks

    conditions = {"task": task_id, "user": user_id, "agent": agent_id, "before": before}
    shown = " and ".join(f"{name} {value}" for name, value in conditions.items() if value is not None)
    confirm(f"Erase the tasks with {shown or 'no condition'} for good?", is_confirmed=yes)
    time = parse_datetime("before", before)
    count = erase_tasks(
        store, organization_id, _user_name(), task_id=task_id, user_id=user_id, agent_id=agent_id, before=time
    )
    click.echo(f"Erased {count_noun(count, 'task')}. Their metrics are still there.")


def _user_name() -> str:
    """Return the name of the user who runs the command, for the audit log."""
    with suppress(OSError, KeyError):  # the user has no entry in the database of users
        return f"command line ({getpass.getuser()})"
    return "command line"
