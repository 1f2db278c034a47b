"""Storage of the outbox: one SQLite file that several processes share.

queue_store   reports and leases: put, claim, and the outcomes of a delivery
run_selection reports that a claim takes
stats         counters and dead letters
sql           every statement of the two modules above, with named parameters
connection    one connection with retries and transactions
schema        tables, versions of the file format, migration
file_guard    the files on disk: permissions, lock file, free space, set-aside of a damaged file
models        values that these modules return
"""
