"""langfuse's client: a generation, begun and ended."""

from benchmarks import workload
from benchmarks.subjects import recording


def connect(url: str, variant: str) -> recording.Recorder:
    import langfuse

    client = langfuse.Langfuse(public_key="pk-lf-a-key", secret_key="sk-lf-a-key", base_url=url)
    given = workload.arguments("1kB")
    usage = {"input": 2140, "output": 380, "total": 2520}

    def record(mark: str) -> None:
        client.start_observation(
            name="run",
            as_type="generation",
            input={"input": given["input"], "mark": mark},
            output={"result": given["result"], "response": given["llm_response"]},
            metadata={"used_tools": given["used_tools"]},
            model="a-model",
            usage_details=usage,
        ).end()

    return recording.Recorder(record, lambda _: client.flush())  # it takes no limit


if __name__ == "__main__":
    recording.main(connect)
