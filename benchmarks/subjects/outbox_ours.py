"""`Backend.submit_external_task`. The variant names durability and worker, such as `crash-thread`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.subjects import outbox_harness

if TYPE_CHECKING:
    from xpander_sdk import Backend


def connect(url: str, variant: str) -> outbox_harness.Recorder:
    ours, record = backend(url, variant, workload.KEY)
    return outbox_harness.Recorder(record, lambda seconds: ours.outbox.flush(seconds))


def backend(url: str, variant: str, key: str) -> "tuple[Backend, Callable[[str], None]]":
    """Return a backend, and a function that submits the run with a mark to it."""
    from xpander_sdk import Backend, Configuration, OutboxSettings, Tokens

    durability, _, worker = variant.partition("-")
    outbox = OutboxSettings(durability=durability, worker=worker)  # type: ignore[arg-type]
    ours = Backend(Configuration(base_url=url, api_key=key, organization_id="org-1", outbox=outbox))
    arguments: dict[str, Any] = workload.arguments("1kB") | {"tokens": Tokens(**workload.TOKENS)}
    del arguments["id"]

    def record(mark: str) -> None:
        ours.submit_external_task(id=mark, **arguments)

    return ours, record


if __name__ == "__main__":
    outbox_harness.main(connect)
