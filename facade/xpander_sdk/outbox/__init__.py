"""Outbox: reports stay in a file on this machine until a backend has confirmed them.

policy       classes of failures, waiting times, merging of reports: pure functions
storage      the queue in a SQLite file that processes share
keyring      references to API keys, without the keys
masking      the caller's mask, applied before a report is written to disk
delivery     claims reports in the file, sends them, and records the outcome
worker       threads that deliver
receipts     receipts of this process, and the responses that belong to them
submission   stores reports and returns receipts
outbox       `Outbox`: all of the above for one file in one process
registry     the outboxes of this process; submission; exit and fork
"""
