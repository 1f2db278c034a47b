"""opik: a trace for each run, with a span for the token usage."""

from datetime import UTC, datetime, timedelta

from benchmarks import workload
from benchmarks.subjects import outbox_harness


def connect(url: str, variant: str) -> outbox_harness.Recorder:
    import opik

    client = opik.Opik(project_name="benchmark", host=url, _show_misconfiguration_message=False)
    arguments = workload.arguments("1kB")
    usage = {"prompt_tokens": 2140, "completion_tokens": 380, "total_tokens": 2520}

    def record(mark: str) -> None:
        end = datetime.now(UTC)
        start = end - timedelta(seconds=4.7)
        trace = client.trace(
            name="run",
            start_time=start,
            end_time=end,
            input={"input": arguments["input"], "mark": mark},
            output={"result": arguments["result"], "response": arguments["llm_response"]},
            metadata={"used_tools": arguments["used_tools"]},
        )
        trace.span(name="run", type="llm", start_time=start, end_time=end, usage=usage, model="a-model")

    return outbox_harness.Recorder(record, lambda seconds: client.flush(int(seconds)))


if __name__ == "__main__":
    outbox_harness.main(connect)
