"""Pages for people: history, tasks and metrics. Rendered here, readable without JavaScript."""

from xpander_server.web.pages import pages

__all__ = ["pages"]
