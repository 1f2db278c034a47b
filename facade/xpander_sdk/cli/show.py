"""Command `show`: print one task."""

import click

from xpander_sdk import Configuration, Task
from xpander_sdk.cli.options import examples, json_option, reading_backend_options
from xpander_sdk.cli.render.output import key_value_table, print_json, print_table
from xpander_sdk.cli.render.tables import calls_table, task_fields
from xpander_sdk.cli.render.tree import json_tree


@click.command(epilog=examples("xpander-report show run-1 --depth 6", "xpander-report show run-1 --json"))
@click.argument("task_id")
@click.option(
    "--depth",
    type=click.IntRange(0, 100),
    default=4,
    show_default=True,
    help="Number of levels of the provider's response to unfold.",
)
@json_option
@reading_backend_options
def show(configuration: Configuration, as_json: bool, task_id: str, depth: int) -> None:
    """Show one task with the provider's response."""
    task = Task.load(task_id, configuration)
    if as_json:
        print_json(task)
        return
    print_table(key_value_table(task_fields(task)))
    if task.calls:
        click.echo()
        print_table(calls_table(task.calls))
    if task.llm_response is not None:
        click.echo()
        print_table(json_tree("llm_response", task.llm_response, depth))
