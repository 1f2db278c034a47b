"""Code that the documents quote: paths, identifiers, settings, commands and options exist."""

import importlib
import inspect
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import click
import pytest

import xpander_sdk
from xpander_sdk.cli import main

ROOT = Path(__file__).parents[2]
# Without the changelog, which also names removed things.
DOCUMENTS = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path.name != "CHANGELOG.md"]
FOLDERS = [
    ".ci",
    ".github",
    "benchmarks",
    "deploy",
    "docs",
    "examples",
    "facade",
    "generated",
    "openapi",
    "requirements",
    "server",
    "tests",
]
SOURCE = (".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".sql", ".html", ".css", ".js", ".png")

FENCE = re.compile(r"^\s*```(\w*)[^\n]*\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
PATH = re.compile(r"(?!/)[\w./*-]+")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
CALL = re.compile(r"(?:await )?([A-Za-z_][\w.]*)\(((?:(?!\)\.).)*)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

# Files that a reader makes, and that the programs make for a reader.
FILES_OF_READERS = {"first.py", "capital.py"}
# Identifiers and options of other programs.
FOREIGN_NAMES = {
    "Agent", "StrandsTelemetry", "autolog", "instrument_all", "mlflow", "openai",
    "fsync", "full_page_writes", "limit_conn", "max_connections", "max_prepared_statements", "pg_dump", "pg_restore",
    "synchronous_commit", "VACUUM",
    "ask_model",  # function of the reader in the tutorial
}  # fmt: skip
FOREIGN_OPTIONS: set[str] = set()


def spans(path: Path) -> list[str]:
    text = FENCE.sub("", path.read_text("utf-8"))
    return [" ".join(span.split()) for span in SPAN.findall(text)]


@cache
def files() -> frozenset[PurePosixPath]:
    names = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    top = [path for path in ROOT.iterdir() if path.is_file()]
    return frozenset(
        PurePosixPath(path.relative_to(ROOT)) for path in [*names, *top, *(ROOT / folder for folder in FOLDERS)]
    )


def exists(name: str) -> bool:
    """Return whether a file or folder has this path, or a path that ends with it, with or without `.py`."""
    return any(path.match(f"{name}{suffix}") for path in files() for suffix in ("", ".py"))


@cache
def words() -> frozenset[str]:
    """Return the identifiers of the project, and the words of its strings and of its files in other languages."""
    found: set[str] = set()
    for name in files():
        path = ROOT / name
        if path.suffix == ".py":
            with path.open("rb") as file:
                tokens = [token.string for token in tokenize.tokenize(file.readline) if token.type != tokenize.COMMENT]
            found.update(word for token in tokens for word in re.findall(r"\w+", token))
            found.add(path.stem)
        elif path.is_file() and path.suffix in SOURCE and path.suffix not in (".md", ".png"):
            found.update(re.findall(r"\w+", path.read_text("utf-8")))
    return frozenset(found)


def is_known(name: str) -> bool:
    first, *rest = name.split(".")
    if first in xpander_sdk.__all__:
        value = getattr(xpander_sdk, first)
        return not rest or hasattr(value, rest[0])
    if first in ("xpander_sdk", "xpander_server", "xpander_api"):
        return resolves(name)
    return set(name.split(".")) <= words() | FOREIGN_NAMES


def resolves(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the words of each `xpander-report` command that a document shows."""
    blocks = [code for language, code in FENCE.findall(path.read_text("utf-8")) if language in ("sh", "console")]
    for line in [*spans(path), *(line for block in blocks for line in block.splitlines())]:
        _, name, rest = line.partition("xpander-report ")
        if name:
            yield re.split(r"\s#|[|>;&]", rest)[0].split()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_paths_exist(path):
    def is_ours(span: str) -> bool:
        # A slash is no sign of a path in the guides: `100/s` is a rate.
        is_about_code = path.name in ("ARCHITECTURE.md", "CONTRIBUTING.md")
        return span.endswith((*SOURCE, "/")) or span.split("/")[0] in FOLDERS or (is_about_code and "/" in span)

    quoted = {span for span in spans(path) if PATH.fullmatch(span) and is_ours(span)}
    assert sorted(name for name in quoted - FILES_OF_READERS if not exists(name.rstrip("/"))) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_identifiers_exist(path):
    # Of the single words, only those of ARCHITECTURE.md are all names of the code.
    names = {
        span
        for span in spans(path)
        if IDENTIFIER.fullmatch(span)
        and not span.endswith(SOURCE)
        and ("_" in span or span != span.lower() or path.name == "ARCHITECTURE.md")
    }
    names |= {call[1] for span in spans(path) if (call := CALL.fullmatch(span))}
    assert sorted(name for name in names if not is_known(name)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_calls_have_arguments_that_exist(path):
    wrong = []
    for span in spans(path):
        call = CALL.fullmatch(span)
        if call and call[1].split(".")[0] in xpander_sdk.__all__:
            first, *rest = call[1].split(".")
            function = getattr(getattr(xpander_sdk, first), rest[0]) if rest else getattr(xpander_sdk, first)
            wrong += [
                span for name in re.findall(r"(\w+)=", call[2]) if name not in inspect.signature(function).parameters
            ]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_environment_variables_exist(path):
    named = set(re.findall(r"\b(?:XPANDER|IS)_[A-Z_]+\b", path.read_text("utf-8")))
    assert sorted(named - words()) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_commands_and_options_exist(path):
    wrong = []
    for line in commands(path):
        command: click.Command = main
        options = set(OPTION.findall(" ".join(line)))
        for word in line:
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif isinstance(command, click.Group) and re.fullmatch("[a-z]+", word):
                wrong.append(" ".join(line))
        known = {name for parameter in command.params for name in parameter.opts}
        wrong += [f"{' '.join(line)}: {option}" for option in options - known - {"--help"}]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_options_are_those_of_a_command(path):
    def options(command: click.Command) -> set[str]:
        nested = command.commands.values() if isinstance(command, click.Group) else []
        own = {name for parameter in command.params for name in parameter.opts}
        return own.union(*(options(one) for one in nested))

    named = {
        option
        for span in spans(path)
        if not span.startswith(("pip ", "make ", "git "))
        for option in OPTION.findall(span)
    }
    assert sorted(named - options(main) - {"--help"} - FOREIGN_OPTIONS) == []
