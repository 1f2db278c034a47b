"""Program for `tests/wheel.py`: reports a run with the installed wheel and prints the installed distributions."""

import importlib.metadata

from xpander_sdk import Task, Tokens

OWN_AND_INSTALLER = {"pip", "setuptools", "xpander-report"}


def main() -> None:
    distributions = {each.name for each in importlib.metadata.distributions()} - OWN_AND_INSTALLER
    assert "starlette" not in distributions, distributions
    assert "click" not in distributions, distributions
    task = Task.report_external_task(agent_id="agent-of-the-wheel", id="w", tokens=Tokens(prompt_tokens=1), result="r")
    assert (task.status, Task.load("w").result) == ("completed", "r")
    print(*sorted(distributions))


if __name__ == "__main__":
    main()
