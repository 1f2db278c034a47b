"""How long a report takes, ours beside what a user would pick instead: `make bench`. Linux only."""
