"""Statements of the outbox, with named parameters.

`:now` is the current time in microseconds. No statement contains text from a user.

A stored time is in force only while `now < time <= now + MAX_WAIT`. No lease and no wait is longer than MAX_WAIT, so a
later time was written before the clock was set back, and is over.
"""

from xpander_sdk.outbox.policy import MAX_WAIT

# Conditions and columns that several statements share


def _in_force(column: str) -> str:
    return f"coalesce({column}, 0) BETWEEN :now + 1 AND :now + {MAX_WAIT}"


def _belongs_to_owner(column: str) -> str:
    # A lease id starts with the owner and "/"; "0" is the character after "/".
    return f"{column} >= :owner || '/' AND {column} < :owner || '0'"


_LEASE_IS_ACTIVE = _in_force("leases.expires_at")
_RUN_BACKS_OFF = _in_force("leases.next_attempt_at")
_OWN_LEASE = "destination_id = :destination_id AND task_id = :task_id AND lease_id = :lease_id"
_REPORT_COLUMNS = "seq, destination_id, task_id, agent_id, reported_at, accepted_at, body"

# Counters

SALT = "SELECT salt FROM counters"
PENDING = "SELECT pending, pending_bytes FROM counters"
DEAD = "SELECT dead, dead_bytes FROM counters"
COUNT_DELIVERED = "UPDATE counters SET delivered = delivered + :delivered, merged = merged + :merged"
UNCOUNT_ACCEPTED = "UPDATE counters SET accepted = accepted - 1"
# One row for each reason, or one row without a reason. A single statement, so that the values belong together.
STATS = """
SELECT accepted, delivered, merged, pending, dead, pending_bytes, dead_bytes, reason, reports
FROM counters LEFT JOIN drop_counts ORDER BY reason
"""
REPORT_STATE = """
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM reports WHERE seq = :seq) THEN 'pending'
    WHEN EXISTS (SELECT 1 FROM dead_letters WHERE seq = :seq) THEN 'dead'
    WHEN EXISTS (SELECT 1 FROM dropped_reports WHERE seq = :seq) THEN 'dropped'
    WHEN :seq <= (SELECT forgotten_through_seq FROM counters) OR :seq >= (SELECT next_seq FROM counters) THEN 'unknown'
    ELSE 'delivered'
END
"""

# Dropped reports

# "OR IGNORE": while reports are dropped, a signal handler may find the outbox full and drop the same ones first.
RECORD_DROP = "INSERT OR IGNORE INTO dropped_reports VALUES (:seq, :reason)"
NEWEST_DROP_BEYOND = "SELECT seq FROM dropped_reports ORDER BY seq DESC LIMIT 1 OFFSET :limit"
FORGET_DROPS = "DELETE FROM dropped_reports WHERE seq <= :seq"
SET_FORGOTTEN = "UPDATE counters SET forgotten_through_seq = max(forgotten_through_seq, :seq)"

# Destinations

DESTINATIONS = """
SELECT id, base_url, nullif(organization_id, ''), credentials, failures, next_attempt_at, last_error FROM destinations
"""
DESTINATION = f"{DESTINATIONS} WHERE id = :destination_id"
ADD_DESTINATION = """
INSERT OR IGNORE INTO destinations (base_url, organization_id, credentials)
VALUES (:base_url, :organization_id, :credentials)
"""
DESTINATION_ID = """
SELECT id FROM destinations
WHERE base_url = :base_url AND organization_id = :organization_id AND credentials = :credentials
"""
START_PROBE = """
UPDATE destinations SET next_attempt_at = :expires_at, probe_lease_id = :lease_id WHERE id = :destination_id
"""
END_PROBE = """
UPDATE destinations SET next_attempt_at = 0, probe_lease_id = NULL
WHERE id = :destination_id AND probe_lease_id = :lease_id
"""
END_PROBES_OF_OWNER = f"""
UPDATE destinations SET next_attempt_at = 0, probe_lease_id = NULL
WHERE {_belongs_to_owner("probe_lease_id")}
"""
RESET_DESTINATION = """
UPDATE destinations SET failures = 0, next_attempt_at = 0, last_error = NULL, probe_lease_id = NULL
WHERE id = :destination_id
"""
RESET_DESTINATION_BACKOFF = """
UPDATE destinations SET next_attempt_at = 0, probe_lease_id = NULL WHERE id = :destination_id
"""
# Batches that were sent at the same time and failed together count as one failure: only the first one finds `failures`
# as it was when the batch was claimed.
COUNT_FAILURE = """
UPDATE destinations SET failures = failures + 1 WHERE id = :destination_id AND failures = :failures_at_claim
"""
# Of several waits, the longest one that is in force applies.
BACK_OFF_DESTINATION = f"""
UPDATE destinations SET last_error = :error, next_attempt_at =
    max(:next_attempt_at, CASE WHEN {_in_force("next_attempt_at")} THEN next_attempt_at ELSE 0 END)
WHERE id = :destination_id
"""
RECORD_ERROR = """
UPDATE destinations SET last_error = :error
WHERE EXISTS (SELECT 1 FROM reports WHERE destination_id = destinations.id)
"""

# Reports

# The condition is part of the INSERT, so that one statement, which is a transaction, checks the limits and inserts.
INSERT_REPORT = f"""
INSERT INTO reports ({_REPORT_COLUMNS})
SELECT next_seq, :destination_id, :task_id, :agent_id, :reported_at, :now, :body FROM counters
WHERE pending < :max_reports AND pending_bytes <= :max_other_bytes
"""
DELETE_REPORT = "DELETE FROM reports WHERE seq = :seq"
LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM reports"
OLDEST_ACCEPTED_AT = "SELECT accepted_at FROM reports ORDER BY seq LIMIT 1"
OLDEST_REPORTS_WITHOUT_LEASE = f"""
SELECT seq, destination_id, task_id FROM reports LEFT JOIN leases USING (destination_id, task_id)
WHERE NOT ({_LEASE_IS_ACTIVE}) ORDER BY seq LIMIT :limit
"""
REPORTS_WITHOUT_LEASE_OF = f"""
SELECT seq FROM reports LEFT JOIN leases USING (destination_id, task_id)
WHERE destination_id = :destination_id AND NOT ({_LEASE_IS_ACTIVE}) ORDER BY seq LIMIT :limit
"""
MOVE_REPORT = "UPDATE reports SET destination_id = :destination_id WHERE seq = :seq"
ANY_REPORT_THROUGH = "SELECT 1 FROM reports WHERE destination_id = :destination_id AND seq <= :seq LIMIT 1"
REPORTS_OF_RUN = """
SELECT seq, agent_id, reported_at, body FROM reports
WHERE destination_id = :destination_id AND task_id = :task_id ORDER BY seq LIMIT :limit
"""
# The index returns the oldest report first. Sorting would take longer the more reports are pending.
OLDEST_DUE_RUN = f"""
SELECT reports.task_id, coalesce(failed_attempts, 0), coalesce(isolate_through_seq, 0)
FROM reports INDEXED BY reports_of_target LEFT JOIN leases USING (destination_id, task_id)
WHERE reports.destination_id = :destination_id AND NOT ({_LEASE_IS_ACTIVE}) AND NOT ({_RUN_BACKS_OFF})
ORDER BY seq LIMIT 1
"""
# The same order for many runs: the caller stops reading when it has enough of them.
DUE_REPORTS = f"""
SELECT reports.seq, reports.task_id, agent_id, reported_at, body,
    coalesce(failed_attempts, 0), coalesce(isolate_through_seq, 0)
FROM reports INDEXED BY reports_of_target LEFT JOIN leases USING (destination_id, task_id)
WHERE reports.destination_id = :destination_id AND NOT ({_LEASE_IS_ACTIVE}) AND NOT ({_RUN_BACKS_OFF})
ORDER BY seq
"""

# Leases

TAKE_LEASE = """
INSERT INTO leases (destination_id, task_id, lease_id, expires_at)
VALUES (:destination_id, :task_id, :lease_id, :expires_at)
ON CONFLICT DO UPDATE SET lease_id = excluded.lease_id, expires_at = excluded.expires_at
"""
OWN_LEASE = f"SELECT 1 FROM leases WHERE {_OWN_LEASE}"
RELEASE_LEASE = f"UPDATE leases SET expires_at = 0, lease_id = NULL WHERE {_OWN_LEASE}"
RELEASE_LEASES_OF_OWNER = f"""
UPDATE leases SET expires_at = 0, lease_id = NULL WHERE {_belongs_to_owner("lease_id")}
"""
OWNERS = """
SELECT DISTINCT substr(lease_id, 1, instr(lease_id, '/') - 1) FROM leases WHERE lease_id IS NOT NULL
UNION SELECT substr(probe_lease_id, 1, instr(probe_lease_id, '/') - 1) FROM destinations
WHERE probe_lease_id IS NOT NULL
"""
ISOLATE_REPORTS = f"""
UPDATE leases SET expires_at = 0, lease_id = NULL, isolate_through_seq = :last_seq WHERE {_OWN_LEASE}
"""
RESCHEDULE_RUN = f"""
UPDATE leases SET expires_at = 0, lease_id = NULL, failed_attempts = failed_attempts + 1,
    next_attempt_at = :next_attempt_at, last_error = :error
WHERE {_OWN_LEASE}
"""
# Ends the lease of a run whose later reports must still be sent one by one.
RESET_ISOLATED_RUN = f"""
UPDATE leases SET expires_at = 0, lease_id = NULL, failed_attempts = 0, next_attempt_at = 0
WHERE {_OWN_LEASE} AND isolate_through_seq > :last_seq
"""
DELETE_LEASE = f"DELETE FROM leases WHERE {_OWN_LEASE}"
DELETE_LEASE_WITHOUT_REPORTS = """
DELETE FROM leases WHERE destination_id = :destination_id AND task_id = :task_id AND NOT EXISTS (
    SELECT 1 FROM reports WHERE reports.destination_id = leases.destination_id AND reports.task_id = leases.task_id)
"""
DELETE_LEASES_WITHOUT_REPORTS_OF = """
DELETE FROM leases WHERE destination_id = :destination_id AND NOT EXISTS (
    SELECT 1 FROM reports WHERE reports.destination_id = leases.destination_id AND reports.task_id = leases.task_id)
"""
RESET_RUN_BACKOFF = "UPDATE leases SET next_attempt_at = 0 WHERE destination_id = :destination_id"

# What is pending for each destination: (id, is any report pending, is any report being sent, time when the first run is
# due). A single statement, so that a report cannot become leased between the questions, and be overlooked by both.
DELIVERY_STATES = f"""
SELECT id,
    EXISTS (SELECT 1 FROM reports WHERE destination_id = destinations.id),
    EXISTS (SELECT 1 FROM leases WHERE destination_id = destinations.id AND {_LEASE_IS_ACTIVE}),
    CASE
        WHEN {_in_force("destinations.next_attempt_at")} THEN destinations.next_attempt_at
        WHEN EXISTS (
            SELECT 1 FROM reports LEFT JOIN leases USING (destination_id, task_id)
            WHERE reports.destination_id = destinations.id AND leases.task_id IS NULL) THEN :now
        ELSE (
            -- A run is due when both its lease and its wait are over.
            SELECT min(max(CASE WHEN {_LEASE_IS_ACTIVE} THEN expires_at ELSE :now END,
                           CASE WHEN {_RUN_BACKS_OFF} THEN leases.next_attempt_at ELSE :now END)) FROM leases
            WHERE destination_id = destinations.id AND EXISTS (
                SELECT 1 FROM reports
                WHERE reports.destination_id = destinations.id AND reports.task_id = leases.task_id))
    END
FROM destinations
"""

# Dead letters

DEAD_LETTERS = """
SELECT seq, base_url, agent_id, task_id, accepted_at, died_at, status, error, body
FROM dead_letters JOIN destinations ON destinations.id = dead_letters.destination_id ORDER BY seq DESC LIMIT :limit
"""
DEAD_LETTERS_OF = "SELECT seq FROM dead_letters WHERE destination_id = :destination_id ORDER BY seq LIMIT :limit"
MOVE_DEAD_LETTER = "UPDATE dead_letters SET destination_id = :destination_id WHERE seq = :seq"
DEAD_LETTER_SEQS = "SELECT seq FROM dead_letters ORDER BY seq"
OLDEST_DEAD_LETTER = "SELECT min(seq) FROM dead_letters"
MOVE_TO_DEAD_LETTERS = f"""
INSERT INTO dead_letters SELECT {_REPORT_COLUMNS}, :now, :status, :error FROM reports WHERE seq = :seq
"""
MOVE_TO_REPORTS = f"INSERT INTO reports SELECT {_REPORT_COLUMNS} FROM dead_letters WHERE seq = :seq"
DELETE_DEAD_LETTER = "DELETE FROM dead_letters WHERE seq = :seq"
