"""Who may ask the page's server: the browser that was given this session's address, and no other page in it.

The server listens on the loopback only. Other programs and web pages can still reach it there, so:
- a request must name the loopback as its host (Starlette's TrustedHostMiddleware), or a page whose name was made to
  point here could ask;
- it must come from this page (Origin, Sec-Fetch-Site), or from the person;
- it must bring the session's secret, in the address once and as a cookie from then on.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ["127.0.0.1", "localhost"]

_POLICY = ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
_HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """Lets through what may ask, and sets the headers that keep a browser from running or loading anything else."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app, self._secret = app, secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # there are no websockets, so this is the start or the end
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not go on: a redirect if it brings the secret in its address."""
        headers = Headers(scope=scope)
        own = f"http://{headers.get('host', '')}"
        if headers.get("origin", own) != own:
            return _refused("another page asks: only the page of this server may")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refused("another page leads here: copy the address that `tamis view` printed into the browser")
        cookie = f"tamis-view-{scope['server'][1]}"  # cookies of a host are sent to all its ports
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] == "/" and given:
            if not self._is_secret(given[0]):
                return _refused("the token is of another session: use the address that `tamis view` printed last")
            entry = RedirectResponse("/", 303)
            entry.set_cookie(cookie, self._secret, httponly=True, samesite="strict")
            return entry
        if not self._is_secret(_cookies(headers).get(cookie, "")):
            return _refused("open the whole address that `tamis view` printed, with its token")
        return None

    def _is_secret(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._secret.encode())


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _refused(why: str) -> Response:
    return PlainTextResponse(f"Refused: {why}.\n", 403)
