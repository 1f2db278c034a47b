from __future__ import annotations

from enum import StrEnum


class ListAgentTasksOrder(StrEnum):
    ASC = "asc"
    DESC = "desc"

    @classmethod
    def _missing_(cls, value: object) -> ListAgentTasksOrder | None:
        # Accept a value that is newer than this client: it must not make the whole response unreadable.
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value, value
        return member

    def __str__(self) -> str:
        return str(self.value)
