"""Results of agent frameworks: what the object that an agent's run returns states about the run.

Each reader knows one framework by the names of its result object and imports no framework. The counts are those of the
run itself: some frameworks return sums over all runs of the agent or of the conversation (see `read`).
"""

from xpander_capture.results.read import called_tools, read_result
from xpander_capture.results.summary import ResultSummary

__all__ = ["ResultSummary", "called_tools", "read_result"]
