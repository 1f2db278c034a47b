"""Entry of a history."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from xpander_sdk._records import field, frozen
from xpander_sdk.api_object import ApiObject, ConfigurationReference
from xpander_sdk.generated_models import read_fields
from xpander_sdk.presentation import html_table, shorten
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.usage import TOKEN_KINDS
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.task import Task
from xpander_sdk.task_status import AgentExecutionStatus

if TYPE_CHECKING:
    from xpander_api import models

_MAX_HTML_ROWS = 50
_MAX_TEXT = 80  # characters


@frozen(kw_only=True, repr=False)
class TasksListItem(ApiObject):
    """Task in a history, without its input and response; `load` returns the complete task.

    All times are in UTC. A value that the backend does not have is None.

    Attributes:
        id: The id of the run.
        agent_id: The agent that executed the run.
        organization_id: The organization that owns the agent.
        status: Status of the run.
        is_stale: True for an executing run that no report has changed for the time that the backend states in
            `/health`: it has probably been killed. None if the backend does not tell.
        user_id: The user for whom the agent worked.
        parent_task_id: Task that started this one.
        triggering_agent_id: Agent that started this task.
        created_at: Time at which the backend created the record.
        updated_at: Time of the last change of the record.
        conversation_id: Conversation that the run belongs to.
        source_node_type: Type of the system that recorded the run.
        error: Why the run failed, or only the start of the text. `load` returns all of it. For a failed run without an
            error and a result, `xpander-report serve` states the error of the calls or of the response.
        duration: Wall-clock time of the run, in seconds.
        tokens: Token usage: as reported, else the sum of the calls.
        model: Model of the run.
        cost: Cost of the run in US dollars.
        result: The final answer; only its start if `result_truncated` is True.
        result_truncated: Whether the backend has cut `result`. `load` returns all of it.
        title: Title of the run.
        execution_kind: Kind of the execution.
        process: Progress of the run, in the format of the backend.
        conversation_kind: Kind of the conversation that the run belongs to.
    """

    _first_fields: ClassVar[tuple[str, ...]] = (
        "id", "agent_id", "status", "created_at", "title", "error", "result", "user_id",
    )  # fmt: skip

    id: str
    agent_id: str
    organization_id: str
    status: AgentExecutionStatus
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    conversation_id: str | None = None
    is_stale: bool | None = None
    source_node_type: str | None = None
    error: str | None = None
    duration: float | None = None
    tokens: Tokens | None = None
    model: str | None = None
    cost: float | None = None
    result: str | None = None
    result_truncated: bool = False
    title: str | None = None
    execution_kind: str | None = None
    process: Mapping[str, Any] | None = None
    conversation_kind: str | None = None
    _configuration: ConfigurationReference = field(
        default=None, converter=ConfigurationReference, alias="configuration", repr=False, eq=False
    )

    @property
    def configuration(self) -> Configuration | None:
        """Configuration that loaded the history; None after unpickling. Not part of repr, dict and comparisons."""
        return self._configuration.configuration

    def load(self, configuration: Configuration | None = None) -> Task:
        """Load the complete task.

        Blocks until the backend has responded. `aload` is the asynchronous form.

        Args:
            configuration: Backend and credentials. Default: the configuration that loaded the history.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            NotFoundError: The task no longer exists.
            ModuleException: The backend returned another error, or did not respond.
        """
        return Task.load(self.id, configuration or self.configuration)

    async def aload(self, configuration: Configuration | None = None) -> Task:
        """Load the complete task.

        Runs on asyncio and on trio. `load` is the synchronous form.

        Args:
            configuration: Backend and credentials. Default: the configuration that loaded the history.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            NotFoundError: The task no longer exists.
            ModuleException: The backend returned another error, or did not respond.
        """
        return await Task.aload(self.id, configuration or self.configuration)

    @classmethod
    def _from_model(cls, configuration: Configuration, model: "models.TaskListItem") -> Self:
        values, _ = read_fields(cls, model)
        values["tokens"] = _to_tokens(values.get("tokens"))
        return cls(**{**values, "status": AgentExecutionStatus(str(model.status)), "configuration": configuration})


def _to_tokens(model: Any) -> Tokens | None:
    """Return the counts; None if the backend sent something else. One that it left out is 0."""
    counts = {kind: getattr(model, kind, None) for kind in TOKEN_KINDS}
    known = {kind: count for kind, count in counts.items() if type(count) is int}
    return Tokens(**known) if known else None


class TasksList(list[TasksListItem]):
    """List of tasks that notebooks show as a table.

    Attributes:
        sorted_since: For a list in the order of a figure, if the backend has left out older tasks: the time of creation
            of the oldest task that it has sorted. Otherwise None.
    """

    sorted_since: datetime | None = None

    def _repr_html_(self) -> str:
        """Return an HTML table of the first 50 tasks; notebooks call this method."""
        rows = [
            (item.id, str(item.status), f"{item.created_at}", shorten(item.title or item.result or "", _MAX_TEXT))
            for item in self[:_MAX_HTML_ROWS]
        ]
        if len(self) > _MAX_HTML_ROWS:
            rows.append((f"{len(self) - _MAX_HTML_ROWS:,} more tasks", "", "", ""))
        return html_table(f"{len(self):,} tasks", rows, header=("id", "status", "created_at", "title or result"))
