"""Prose of the project: plain words, American spelling, and docstrings that begin as docstrings do."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["facade", "server", "tests", "benchmarks", "examples", "docs"]
DOCUMENTS = sorted(path.name for path in ROOT.glob("*.md"))
MAX_PER_1000_WORDS = 6

# Phrases that mark figurative prose: personified code, inverted sentences, and clauses that replace a noun.
# Comparable projects have 0.3 to 2.9 of them per 1,000 words. The limit leaves room for quotations and justified uses.
MARKERS = re.compile(
    r"""\b(
        told | tells? | said | says? | (?:goes|go|gone)\ on | lets?\ in | comes? | came | stands? | stood
      | whoever | whatever | whom | anew | for\ ever | beside | begun | first\ seen | in\ vain | at\ the\ most
      | there\ is\ none | none\ of | of\ its\ own | by\ itself | some\ that | of\ which | in\ place\ of | once\ and
      | as\ (?:it\ is|they\ are) | (?:is|are)\ there | a\ moment | holds?\ up | held\ up
      | what\ (?:is|was|it|they|a|the|we|has|came|comes|waits|may|cannot|must)
      | who\ (?:asks|waits|is|has|writes|reads)
      | where\ (?:it|there|that|nothing|none|they|a|the)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
QUESTION_WORDS = ("What", "Who", "Whom", "Whose", "Which", "How", "Where", "Whether", "Why", "When")


def python_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if "migrations" not in path.parts)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


def markdown_lines(path: Path) -> Iterator[tuple[int, str]]:
    in_code = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, line


def prose(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield path, line number and text of each comment, docstring and line of Markdown below a path."""
    for file in [path] if path.is_file() else [*python_files(path), *sorted(path.rglob("*.md"))]:
        pieces = markdown_lines(file) if file.suffix == ".md" else [*docstrings(file), *comments(file)]
        for number, text in pieces:
            yield file.relative_to(ROOT), number, text


@pytest.mark.parametrize("name", [*PACKAGES, *DOCUMENTS])
def test_prose_has_few_marker_phrases(name):
    words, places = 0, []
    for file, line, text in prose(ROOT / name):
        words += len(text.split())
        places += [f"{file}:{line}: {match[0]}" for match in MARKERS.finditer(text)]
    assert 1000 * len(places) <= MAX_PER_1000_WORDS * max(words, 1), "\n".join(places[:40])


@pytest.mark.parametrize("name", PACKAGES)
def test_no_docstring_starts_with_a_question_word(name):
    questions = [
        f"{file.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for file in python_files(ROOT / name)
        for line, text in docstrings(file)
        if text.split()[0] in QUESTION_WORDS
    ]
    assert questions == []


def test_spelling():
    run = subprocess.run([sys.executable, "-m", "codespell_lib"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""
