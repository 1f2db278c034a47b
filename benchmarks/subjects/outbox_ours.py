"""`Backend.submit_external_task`. The variant: durability and worker, `crash-thread`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.subjects import recording

if TYPE_CHECKING:
    from xpander_sdk import Backend


def connect(url: str, variant: str) -> recording.Recorder:
    ours, record = backend(url, variant, workload.KEY)
    return recording.Recorder(record, lambda seconds: ours.outbox.flush(seconds))


def backend(url: str, variant: str, key: str) -> "tuple[Backend, Callable[[str], None]]":
    """A backend, and what submits the run of a mark to it."""
    from xpander_sdk import Backend, Configuration, OutboxSettings, Tokens

    durability, _, worker = variant.partition("-")
    outbox = OutboxSettings(durability=durability, worker=worker)  # type: ignore[arg-type]
    ours = Backend(Configuration(base_url=url, api_key=key, organization_id="org-1", outbox=outbox))
    given: dict[str, Any] = workload.arguments("1kB") | {"tokens": Tokens(**workload.TOKENS)}
    del given["id"]

    def record(mark: str) -> None:
        ours.submit_external_task(id=mark, **given)

    return ours, record


if __name__ == "__main__":
    recording.main(connect)
