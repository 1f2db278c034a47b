"""Varied tasks for benchmarks of large stores: agents, users, models, tools, errors, conversations, parents, texts."""

import random
import uuid
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from xpander_server.store import Submission

ORGANIZATION = "org"
"""The organization that has the tasks; five others have a hundredth of them each."""
AGENTS, USERS = 30, 5_000
RELIABLE_AGENT = "agent-reliable"
"""Agent whose runs fail once in 5,000 times, so that its failures are far apart."""
BUSY_PARENT, BUSY_CHILDREN = 50_000, 200
"""Each task with a number that is a multiple of the first figure has this number of children."""
FREQUENT_TEXT, RARE_TEXT, ABSENT_TEXT = "invoice 4711", "zeppelin", "no run has this text"
"""Texts in one of 10 tasks, in one of 100,000, and in none."""
DAY = 86_400_000_000  # microseconds
DAYS = 120
MODELS = ("gpt-4o", "claude-sonnet-4-5-20250929", "gemini-2.5-flash", "gpt-5-mini-2025-08-07")
RARE_MODEL, RARE_TOOL = "o3-pro", "tool_rare"
"""Names in one of 20,000 tasks."""
TOOLS = tuple(f"tool_{number}" for number in range(60))
_ERRORS = (
    "HTTP 429: rate limit of {number} tokens per minute is exceeded; try again in {number} ms",
    "Timeout after {number} s while waiting for the tool 'search-{number}'",
    "ValidationError: field 'amount_{number}' must be a number",
    "Connection to 10.0.{number}.7:5432 refused",
    "The model returned no JSON: Expecting value: line 1 column {number}",
)
_EXECUTING_TIME = 1_800_000_000  # microseconds: a third of the tasks of this time is executing
_SYLLABLES = ("ba", "den", "fam", "gri", "hul", "jin", "kes", "lom", "mar", "nu", "pol", "rat", "sti", "tor", "ven")


class VariedTasks:
    """Reports of tasks that are distributed evenly over `DAYS` days until now, oldest first.

    Args:
        count: The number of tasks in `ORGANIZATION`.
        now: The time of the last one, in microseconds since 1970.
    """

    def __init__(self, count: int, now: int) -> None:
        self.count = count
        self._now = now
        self._random = random.Random(7)
        self._words = [
            "".join(self._random.choices(_SYLLABLES, k=self._random.randrange(1, 5))) for _ in range(4_000)
        ]  # fmt: skip
        # The frequency of a word is about the inverse of its rank.
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(len(self._words))))
        self._recent_ids: deque[str] = deque(maxlen=100)
        self._busy_parent = ""

    def submissions(self, first: int, end: int) -> Iterator[Submission]:
        """Yield the reports of the tasks with these numbers, and those of other organizations between them."""
        for number in range(first, end):
            yield self._submission(number, ORGANIZATION)
            if number % 20 == 0:
                yield self._submission(number, f"other-{number // 20 % 5}")

    def _submission(self, number: int, organization_id: str) -> Submission:
        randomness = self._random
        created_at = self._now - DAYS * DAY + DAYS * DAY * number // self.count
        # UUIDs of version 7, as the SDK makes them.
        task_id = str(uuid.UUID(int=created_at // 1_000 << 80 | 7 << 76 | 2 << 62 | randomness.getrandbits(62)))
        agent_id = f"agent-{int(randomness.triangular(0, AGENTS, 0))}"
        failure_rate = 0.04
        if number % 50 == 49:
            agent_id, failure_rate = RELIABLE_AGENT, 0.000_2
        report: Any = self._report(number, self._is_success(created_at, failure_rate))
        if organization_id == ORGANIZATION:
            self._add_relations(report, number, task_id)
        return Submission(organization_id, agent_id, task_id, report, None, created_at)

    def _is_success(self, created_at: int, failure_rate: float) -> bool | None:
        executing_rate = 0.3 if created_at > self._now - _EXECUTING_TIME else 0.000_5
        if self._random.random() < executing_rate:
            return None
        return self._random.random() >= failure_rate

    def _report(self, number: int, is_success: bool | None) -> dict[str, Any]:
        randomness = self._random
        text = f" {FREQUENT_TEXT}" if number % 10 == 3 else f" {RARE_TEXT}" if number % 100_000 == 50_000 else ""
        model = RARE_MODEL if number % 20_000 == 700 else MODELS[int(randomness.triangular(0, len(MODELS), 0))]
        prompt, completion = int(randomness.lognormvariate(7.5, 1)), int(randomness.lognormvariate(5.5, 1))
        tools = randomness.sample(TOOLS, randomness.randrange(4))
        report: dict[str, Any] = {
            "input": self._text(40) + text,
            "tokens": {"prompt_tokens": prompt, "completion_tokens": completion},
            "user_id": f"user-{int(randomness.paretovariate(0.3)) % USERS}",
            "used_tools": [*tools, RARE_TOOL] if number % 20_000 == 900 else tools,
        }
        if number % 5 == 0:
            environment = ("production", "production", "production", "staging")[number // 5 % 4]
            report["metadata"] = {"environment": environment, "release": f"1.{number * 40 // self.count}"}
        if is_success is None:
            return report
        report |= {"is_success": is_success, "duration": round(randomness.lognormvariate(1, 1), 3)}
        if not is_success:
            return {**report, "error": randomness.choice(_ERRORS).format(number=randomness.randrange(1_000))}
        answer = self._text(50)
        report["result"] = answer
        usage = f'{{"prompt_tokens": {prompt}, "completion_tokens": {completion}}}'
        choice = f'{{"message": {{"role": "assistant", "content": "{answer[:150]}"}}}}'
        report["llm_response"] = f'{{"model": "{model}", "choices": [{choice}], "usage": {usage}}}'
        return report

    def _add_relations(self, report: dict[str, Any], number: int, task_id: str) -> None:
        if number % BUSY_PARENT == 0:
            self._busy_parent = task_id
        elif number % BUSY_PARENT <= BUSY_CHILDREN:
            report["parent_task_id"] = self._busy_parent
        elif number % 10 == 1 and self._recent_ids:
            report["parent_task_id"] = self._random.choice(self._recent_ids)
        if number % 100 < 12:
            report["conversation_id"] = f"conversation-{number // 100}"
        self._recent_ids.append(task_id)

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words))
