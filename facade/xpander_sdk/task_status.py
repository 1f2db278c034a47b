"""Status of a run."""

from enum import StrEnum


class AgentExecutionStatus(StrEnum):
    """Status of a run. A value that this version of the SDK does not know is kept.

    Example:
        >>> AgentExecutionStatus("completed") is AgentExecutionStatus.Completed
        True
        >>> str(AgentExecutionStatus("hibernating"))
        'hibernating'
    """

    Pending = "pending"
    Executing = "executing"
    Paused = "paused"
    Error = "error"
    Failed = "failed"
    Completed = "completed"
    Stopped = "stopped"

    @classmethod
    def _missing_(cls, value: object) -> "AgentExecutionStatus | None":
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value, value
        return member
