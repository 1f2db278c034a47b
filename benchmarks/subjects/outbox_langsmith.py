"""langsmith's client: one run, begun and ended, in one call; it batches by itself."""

import uuid
from datetime import UTC, datetime, timedelta

from benchmarks import workload
from benchmarks.subjects import recording


def connect(url: str, variant: str) -> recording.Recorder:
    import langsmith

    client = langsmith.Client(api_url=url, api_key=workload.KEY)
    given = workload.arguments("1kB")
    usage = {"input_tokens": 2140, "output_tokens": 380, "total_tokens": 2520}

    def record(mark: str) -> None:
        run, end = uuid.uuid4(), datetime.now(UTC)
        start = end - timedelta(seconds=4.7)
        client.create_run(
            "run",
            {"input": given["input"], "mark": mark},
            "llm",
            id=run,
            trace_id=run,
            dotted_order=f"{start:%Y%m%dT%H%M%S%fZ}{run}",  # with these two it goes the way of its batches
            project_name="benchmark",
            start_time=start,
            end_time=end,
            outputs={"result": given["result"], "response": given["llm_response"], "usage_metadata": usage},
            extra={"metadata": {"used_tools": given["used_tools"]}},
        )

    return recording.Recorder(record, lambda seconds: client.flush(seconds))


if __name__ == "__main__":
    recording.main(connect)
