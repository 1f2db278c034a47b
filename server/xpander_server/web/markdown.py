"""Markdown of reported texts as HTML.

HTML in the text is shown as text, links lead to http, https and mail addresses only, and images are links: the pages
load nothing from other hosts.
"""

from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup

MAX_MARKDOWN_LENGTH = 20_000
"""Characters of a text that is rendered."""


def render_markdown(text: str) -> Markup:
    """Return the first `MAX_MARKDOWN_LENGTH` characters of a text as HTML."""
    return Markup(_parser().render(text[:MAX_MARKDOWN_LENGTH]))  # noqa: S704 - the parser escapes all text


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False})
    parser.enable("table").disable(["image", "html_block", "html_inline"])
    parser.validateLink = lambda url: url.lower().startswith(("http://", "https://", "mailto:"))  # type: ignore[method-assign]  # as its documentation says
    return parser
