"""opik's client: a trace, which has no token usage, and in it a span, which has."""

from datetime import UTC, datetime, timedelta

from benchmarks import workload
from benchmarks.subjects import recording


def connect(url: str, variant: str) -> recording.Recorder:
    import opik

    client = opik.Opik(project_name="benchmark", host=url, _show_misconfiguration_message=False)
    given = workload.arguments("1kB")
    usage = {"prompt_tokens": 2140, "completion_tokens": 380, "total_tokens": 2520}

    def record(mark: str) -> None:
        end = datetime.now(UTC)
        start = end - timedelta(seconds=4.7)
        trace = client.trace(
            name="run",
            start_time=start,
            end_time=end,
            input={"input": given["input"], "mark": mark},
            output={"result": given["result"], "response": given["llm_response"]},
            metadata={"used_tools": given["used_tools"]},
        )
        trace.span(name="run", type="llm", start_time=start, end_time=end, usage=usage, model="a-model")

    return recording.Recorder(record, lambda seconds: client.flush(int(seconds)))


if __name__ == "__main__":
    recording.main(connect)
