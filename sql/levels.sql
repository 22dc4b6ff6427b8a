-- A new level for a meter: which readings agree on one, and a person's word that it goes on there.

-- name: list_off_line(meter_id, since, reasons, at_most)
-- List the newest readings of a meter since an instant that its line did not take, undecided ones only.
SELECT r.meter_id, r.read_at, r.register_dm3
FROM reading r
WHERE r.meter_id = :meter_id AND r.read_at > :since::timestamptz
  AND r.verdict = 'suspect' AND r.reason = ANY (:reasons::text[])
  AND NOT EXISTS (
      SELECT FROM reading_decision d WHERE d.meter_id = r.meter_id AND d.read_at = r.read_at
  )
ORDER BY r.read_at DESC
LIMIT :at_most::bigint;

-- name: accept_readings(meter_id, read_ats, registers, decided_by, because, at)!
-- Take readings as they came, on the first turn of their new line.
INSERT INTO reading_decision (
    meter_id, read_at, decision, register_dm3, turns, decided_by, because, decided_at
)
SELECT :meter_id::text, k.read_at, 'accept', k.register_dm3, 0, :decided_by::text, :because::text,
       :at::timestamptz
FROM unnest(:read_ats::timestamptz[], :registers::bigint[]) AS k (read_at, register_dm3)
ORDER BY k.read_at;

-- name: answer_proposals(meter_id, installed_at, decided_by, because, at)!
-- Let the proposals of a new level stand that were made for an installation.
INSERT INTO finding_decision (meter_id, digest, decided_by, because, decided_at)
SELECT f.meter_id, f.digest, :decided_by::text, :because::text, :at::timestamptz
FROM period_finding f
WHERE f.meter_id = :meter_id::text AND f.installed_at = :installed_at::timestamptz
  AND f.code = 'rebaseline'
ON CONFLICT DO NOTHING;

-- name: add_rebaseline(meter_id, installed_at, previous_installed_at, before_read_at, before_dm3, first_dm3, last_dm3, readings, rule_version, decided_by, because, decided_at)!
-- Keep a person's word that a meter goes on at another level.
INSERT INTO rebaseline (
    meter_id, installed_at, previous_installed_at, before_read_at, before_dm3, first_dm3, last_dm3,
    readings, rule_version, decided_by, because, decided_at
)
VALUES (:meter_id, :installed_at, :previous_installed_at, :before_read_at, :before_dm3, :first_dm3,
        :last_dm3, :readings, :rule_version, :decided_by, :because, :decided_at);

-- name: find_rebaseline(meter_id, installed_at)^
-- Find the word by which an installation began at another level.
SELECT meter_id, installed_at, previous_installed_at, before_read_at, before_dm3, first_dm3,
       last_dm3, readings, rule_version, decided_by, because, decided_at
FROM rebaseline
WHERE meter_id = :meter_id AND installed_at = :installed_at;
