"""The outbox: no report is lost, none counts twice, whatever happens to programs, disks and backends."""
