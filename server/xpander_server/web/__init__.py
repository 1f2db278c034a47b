"""Pages for people: history, tasks and metrics. Rendered here, readable without JavaScript."""

from xpander_server.web.routes import page_routes

__all__ = ["page_routes"]
