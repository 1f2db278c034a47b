"""The outbox: reports are kept on this machine until a backend has them.

rules         what a failure means, how long to wait, how reports of a run merge: pure
file          the queue itself, in SQLite, shared by processes
credentials   which key belongs to which report, without the key
masking       what may touch the disk
delivery      takes reports out of the file, sends them, writes down what became of them
worker        threads that deliver
receipt       what handing a report to the outbox returns
queue         all of this, for one file in one process
processes     one queue a file; forks; the end of the program
"""
