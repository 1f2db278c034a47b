"""Import of runs from files, and export of tasks into files, for `xpander-report import` and `export`.

An import passes data through these modules, from left to right:

    file → reader ─┬─ jsonl ────────────────────┬→ Record → importer → backend
                   └─ otlp → genai_runs         │              │
                              (genai_messages) ─┘              └→ checkpoint → FILE.progress, FILE.rejected.jsonl

`exporter` loads complete tasks for the opposite direction.
"""
