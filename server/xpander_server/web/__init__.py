"""Pages for people: history, tasks and metrics.

The server renders every page as HTML. JavaScript adds live updates, keyboard shortcuts and copy buttons; reading,
filtering and downloading work without it.
"""

from xpander_server.web.routes import page_routes

__all__ = ["page_routes"]
