"""Our server of the task-report contract: the same application behind a socket and in-process."""
