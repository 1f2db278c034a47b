"""Output of the commands: text, tables, charts and trees for a terminal or a pipe, and JSON for programs."""
