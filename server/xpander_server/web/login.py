"""Sign-in with an API key, and sign-out."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.request_body import read_form
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError
from xpander_server.web.rendering import FORM_TIMEOUT, is_safe_target, link, redirect, render_template, safe_target
from xpander_server.web.sessions import SessionManager


class LoginPages:
    """The sign-in page, and the handlers of the sign-in and sign-out forms.

    Args:
        sessions: Opens and closes the sessions.
    """

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions

    async def show(self, request: Request) -> Response:
        """Render the sign-in page, or redirect a request that has a session."""
        request_state(request.scope).operation = "pageSignIn"
        target = request.query_params.get("next", "")
        if await self._sessions.find(request) is not None:
            return redirect(safe_target(target))
        return _render_form(target)

    async def sign_in(self, request: Request) -> Response:
        """Open a session with the key of the form, and redirect to the requested page."""
        fields = parse_qs((await read_form(request, FORM_TIMEOUT)).decode("utf-8", "replace"))
        key, target = (fields.get(name, [""])[0] for name in ("key", "next"))
        response = redirect(safe_target(target))
        try:
            await self._sessions.open(request, key.strip(), response)
        except HTTPError as error:
            return _render_form(target, error)
        return response

    async def sign_out(self, request: Request) -> Response:
        """Close the session, and redirect to the sign-in page."""
        response = redirect(link("sign-in"))
        await self._sessions.close(request, response)
        return response


def _render_form(target: str, error: HTTPError | None = None) -> Response:
    context = {
        "next": target if is_safe_target(target) else "",
        "error": error and error.detail,
        "principal": None,
    }
    if error is None:
        return render_template("sign_in.html", context)
    return render_template("sign_in.html", context, error.status, error.headers)
