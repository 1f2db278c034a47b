"""Runs from files and into files: what `xpander-report import` and `export` do.

`reports` and `traces` read one thing each into a `Record`; `source` reads a file into entries; `sending` reports them;
`sidefiles` remembers how far it came, and what was refused; `fetching` is the way back.
"""
