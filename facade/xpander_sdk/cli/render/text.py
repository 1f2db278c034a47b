"""Text from reports, made safe for a terminal."""

from rich.text import Text

STATUS_STYLES = {"completed": "green", "failed": "red", "executing": "yellow"}


def printable(text: str) -> str:
    """Return the text with U+FFFD for each character that could control the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def plain_text(value: str) -> Text:
    """Return a text for a table cell. Its square brackets are not parsed as rich's markup."""
    return Text(printable(value))


def status_text(status: str, *, is_stale: bool = False) -> Text:
    """Return the status of a task in its color; "stale" for a stale task, which is executing."""
    name = status.partition(" ")[0]
    return Text("stale" if is_stale else printable(str(status)), style=STATUS_STYLES.get(name, ""))


def fold(text: str, width: int) -> str:
    """Break a text into lines of at most `width` characters, also inside words."""
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


def count_noun(count: int, noun: str) -> str:
    """Return a count and its noun: "1 dead letter", "2 dead letters"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
