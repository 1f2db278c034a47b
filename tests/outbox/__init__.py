"""Outbox: no report is lost or recorded twice after failures of programs, disks and backends."""
