-- One account and one month as they were known by an instant: what came or was said later is left out.
-- When an installation was entered is not kept; installations and prices are as they are now.

-- name: stays_of_month(account_id, start_at, end_at)
-- Read where the meters of an account hung in a period, and what their dials can show.
SELECT i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3, i.removed_at,
       i.closing_dm3, i.closing_turns, m.dial_dm3
FROM installation i
JOIN meter m USING (meter_id)
WHERE i.account_id = :account_id AND i.installed_at < :end_at::timestamptz
  AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
ORDER BY i.meter_id, i.installed_at;

-- name: gas_measured_by(account_id, start_at, end_at, at)
-- Read the gas of an account that lies in a period or touches it, as it held at an instant, with the energy
-- known by then. "billed" says that its month had a bill by then, so that it had been measured.
SELECT u.meter_id, u.installed_at, u.account_id, u.supply_point_id, u.from_at, u.to_at,
       u.period_start,
       coalesce(r.opening_register_dm3, u.opening_register_dm3) AS opening_register_dm3,
       coalesce(r.opening_turns, u.opening_turns) AS opening_turns,
       coalesce(r.opening_read_at, u.opening_read_at) AS opening_read_at,
       coalesce(r.opening_quality, u.opening_quality) AS opening_quality,
       coalesce(r.closing_register_dm3, u.closing_register_dm3) AS closing_register_dm3,
       coalesce(r.closing_turns, u.closing_turns) AS closing_turns,
       coalesce(r.closing_read_at, u.closing_read_at) AS closing_read_at,
       coalesce(r.closing_quality, u.closing_quality) AS closing_quality,
       coalesce(r.volume_dm3, u.volume_dm3) AS volume_dm3,
       CASE WHEN r.revision IS NULL THEN e.energy_wh ELSE r.energy_wh END AS energy_wh, EXISTS (
           SELECT FROM bill b
           WHERE b.account_id = u.account_id AND b.period_start = u.period_start
             AND b.issued_at <= :at::timestamptz
       ) AS billed
FROM usage u
LEFT JOIN usage_energy e ON e.meter_id = u.meter_id AND e.from_at = u.from_at
    AND e.made_at <= :at::timestamptz
LEFT JOIN LATERAL (
    SELECT r.*
    FROM usage_revision r
    WHERE r.meter_id = u.meter_id AND r.from_at = u.from_at AND r.made_at <= :at::timestamptz
    ORDER BY r.revision DESC
    LIMIT 1
) AS r ON true
WHERE u.account_id = :account_id AND u.from_at <= :end_at::timestamptz
  AND u.to_at >= :start_at::timestamptz
ORDER BY u.meter_id, u.from_at;

-- name: corrected_by(meter_ids, from_at, to_at, at)
-- Read what people had said by an instant about trusted registers read from then to then.
SELECT DISTINCT ON (c.meter_id, c.read_at) c.meter_id, c.read_at, c.register_dm3, c.turns
FROM reading_correction c
WHERE c.meter_id = ANY (:meter_ids::text[]) AND c.decided_at <= :at::timestamptz
  AND c.read_at BETWEEN :from_at::timestamptz AND :to_at::timestamptz
ORDER BY c.meter_id, c.read_at, c.revision DESC;

-- name: estimated_by(meter_ids, from_at, to_at, at)
-- Read the registers that had been made up by an instant for two boundaries.
SELECT e.meter_id, e.installed_at, e.read_at, e.register_dm3, e.turns
FROM estimated_register e
WHERE e.meter_id = ANY (:meter_ids::text[]) AND e.made_at <= :at::timestamptz
  AND e.read_at IN (:from_at::timestamptz, :to_at::timestamptz);

-- name: registers_known_by(meter_ids, installed_ats, boundary_ats, at)
-- Read for each boundary the latest register of the 24 hours up to it that was trusted by an instant: what
-- had come by then, in place of it what a person had decided, in place of that the last correction.
SELECT b.meter_id, b.installed_at, b.boundary_at, w.read_at, w.register_dm3, w.turns
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[], :boundary_ats::timestamptz[])
    AS b (meter_id, installed_at, boundary_at)
CROSS JOIN LATERAL (
    SELECT w.read_at, w.register_dm3, w.turns
    FROM (
        SELECT r.read_at, r.register_dm3, r.turns, 0 AS word
        FROM reading r
        WHERE r.meter_id = b.meter_id AND r.verdict = 'billable'
          AND r.received_at <= :at::timestamptz AND r.read_at <= b.boundary_at
          AND r.read_at > b.boundary_at - interval '24 hours'
        UNION ALL
        SELECT d.read_at, d.register_dm3, d.turns, 0
        FROM reading_decision d
        WHERE d.meter_id = b.meter_id
          AND d.decided_at <= :at::timestamptz AND d.read_at <= b.boundary_at
          AND d.read_at > b.boundary_at - interval '24 hours'
        UNION ALL
        SELECT c.read_at, c.register_dm3, c.turns, c.revision
        FROM reading_correction c
        WHERE c.meter_id = b.meter_id
          AND c.decided_at <= :at::timestamptz AND c.read_at <= b.boundary_at
          AND c.read_at > b.boundary_at - interval '24 hours'
    ) AS w
    ORDER BY w.read_at DESC, w.word DESC
    LIMIT 1
) AS w;

-- name: bill_that_stood(account_id, period_start, at)^
-- Find the bill of a month that was in force at an instant, without what it carried besides that month.
SELECT b.bill_no, b.kind, b.issued_at, b.total_minor, b.volume_dm3,
       b.net_minor - c.net_minor AS net_minor, b.vat_minor - c.vat_minor AS vat_minor
FROM bill b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.net_minor), 0)::bigint AS net_minor,
           coalesce(sum(c.vat_minor), 0)::bigint AS vat_minor
    FROM bill_charge c
    WHERE c.account_id = b.account_id AND c.bill_no = b.bill_no
      AND c.kind IN ('adjustment', 'penalty')
) AS c
WHERE b.account_id = :account_id AND b.period_start = :period_start::date
  AND b.issued_at <= :at::timestamptz AND b.kind <> 'cancellation'
ORDER BY b.revision DESC
LIMIT 1;
