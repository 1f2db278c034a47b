"""Configuration of Sphinx, which builds the documentation site (`make docs`)."""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import xpander_sdk

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import openapi_page  # noqa: E402 - from this folder

project = "xpander-report"
project_copyright = "2026, the xpander-report authors"
version = release = xpander_sdk.__version__
language = "en"
smartquotes = False  # options of the command line keep their two hyphens

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns: list[str] = []

# Output depends on the sources alone: no time of the build, no version of the tools.
html_theme = "furo"
html_title = f"xpander-report {release}"
html_last_updated_fmt = None
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/xpander-report/xpander-report",
    "source_branch": "main",
    "source_directory": "docs/",
}
pygments_style = "default"
pygments_dark_style = "github-dark"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# A name in single backticks of a docstring is a reference, if it is a documented name.
default_role = "py:obj"

nitpicky = True
# No inventory of another project is loaded, because the build works offline.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!xpander_sdk\b).*"),
    (r"py:.*", r"xpander_sdk\..*\.T"),  # type variables
    (r"py:obj", r"xpander_sdk\.[a-z_.]+"),  # modules that are not public
]

REPOSITORY = "https://github.com/xpander-report/xpander-report/blob/main/"
# Pages of the site that include a document of the repository's root.
INCLUDED = {
    "README.md": "index",
    "ARCHITECTURE.md": "explanation/architecture",
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
}
LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?(?=\))")


def rewrite_links(text: str, folder: Path, page_folder: Path) -> str:
    """Return Markdown whose relative links work on the site.

    The links of the documents are relative to `folder`, so that they work on GitHub. A link to a document that the site
    includes becomes a link to its page; a link to another file outside docs/ becomes a link to the repository.

    Args:
        text: Markdown.
        folder: Folder of the document.
        page_folder: Folder of the page that shows the document.
    """

    def rewrite(match: re.Match[str]) -> str:
        target, anchor = (folder / match[1]).resolve(), match[2] or ""
        name = target.relative_to(ROOT).as_posix()
        if name in INCLUDED:
            target = ROOT / "docs" / f"{INCLUDED[name]}.md"
        elif not target.is_relative_to(ROOT / "docs"):
            return f"{REPOSITORY}{name}{anchor}"
        return f"{os.path.relpath(target, page_folder)}{anchor}"

    return LINK.sub(rewrite, text)


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite the links of a page; fill the page of the HTTP API."""
    if docname == "reference/http-api":
        source[0] += "\n" + openapi_page.render(ROOT / "openapi" / "task-report.yaml")
    folder = Path(app.env.doc2path(docname)).parent
    source[0] = rewrite_links(source[0], folder, folder)


def read_included_file(app: Sphinx, relative_path: Path, parent_docname: str, content: list[str]) -> None:
    """Rewrite the links of a document that a page includes."""
    folder = Path(app.env.doc2path(app.env.docname)).parent  # MyST passes only the last part of the name.
    document = (app.srcdir / relative_path).resolve()
    content[0] = rewrite_links(content[0], document.parent, folder)


def resolve_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Resolve a reference to a public class by the module that defines it.

    Annotations name `xpander_sdk.task.Task`; the reference documents `xpander_sdk.Task`.
    """
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in xpander_sdk.__all__ or target == f"xpander_sdk.{name}":
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"xpander_sdk.{name}", node, contnode)


def setup(app: Sphinx) -> None:
    """Connect the hooks above."""
    app.connect("source-read", read_page)
    app.connect("include-read", read_included_file)
    app.connect("missing-reference", resolve_public_name)
