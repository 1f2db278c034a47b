"""langfuse: one generation for each run."""

from benchmarks import workload
from benchmarks.subjects import outbox_harness


def connect(url: str, variant: str) -> outbox_harness.Recorder:
    import langfuse

    client = langfuse.Langfuse(public_key="pk-lf-a-key", secret_key="sk-lf-a-key", base_url=url)
    arguments = workload.arguments("1kB")
    usage = {"input": 2140, "output": 380, "total": 2520}

    def record(mark: str) -> None:
        client.start_observation(
            name="run",
            as_type="generation",
            input={"input": arguments["input"], "mark": mark},
            output={"result": arguments["result"], "response": arguments["llm_response"]},
            metadata={"used_tools": arguments["used_tools"]},
            model="a-model",
            usage_details=usage,
        ).end()

    return outbox_harness.Recorder(record, lambda _: client.flush())  # its flush has no timeout


if __name__ == "__main__":
    outbox_harness.main(connect)
