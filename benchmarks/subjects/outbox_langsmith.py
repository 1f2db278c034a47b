"""langsmith: one call of `create_run` with the outputs and the end; the client sends batches."""

import uuid
from datetime import UTC, datetime, timedelta

from benchmarks import workload
from benchmarks.subjects import outbox_harness


def connect(url: str, variant: str) -> outbox_harness.Recorder:
    import langsmith

    client = langsmith.Client(api_url=url, api_key=workload.KEY)
    arguments = workload.arguments("1kB")
    usage = {"input_tokens": 2140, "output_tokens": 380, "total_tokens": 2520}

    def record(mark: str) -> None:
        run, end = uuid.uuid4(), datetime.now(UTC)
        start = end - timedelta(seconds=4.7)
        client.create_run(
            "run",
            {"input": arguments["input"], "mark": mark},
            "llm",
            id=run,
            trace_id=run,
            dotted_order=f"{start:%Y%m%dT%H%M%S%fZ}{run}",  # trace_id and dotted_order select the client's batch mode
            project_name="benchmark",
            start_time=start,
            end_time=end,
            outputs={"result": arguments["result"], "response": arguments["llm_response"], "usage_metadata": usage},
            extra={"metadata": {"used_tools": arguments["used_tools"]}},
        )

    return outbox_harness.Recorder(record, lambda seconds: client.flush(seconds))


if __name__ == "__main__":
    outbox_harness.main(connect)
