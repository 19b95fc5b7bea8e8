"""Reports as pages of HTML: what people and models wrote in them is shown and never run."""

from typing import Final

from fastapi.responses import HTMLResponse

__all__ = ["ReportPage"]

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""The templates escape; should one ever not, the browser runs no script and fetches nothing."""


class ReportPage(HTMLResponse):
    """A page that holds its styles and pictures, and nothing that runs."""

    def __init__(self, content: str, status_code: int = 200) -> None:
        super().__init__(content, status_code, headers=_HEADERS)
