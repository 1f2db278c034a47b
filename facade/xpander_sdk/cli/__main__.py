"""Entry point of `python -m xpander_sdk.cli`."""

from xpander_sdk.cli import run

run()
