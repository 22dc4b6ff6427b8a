-- The gas of a meter in a period, for people who ask: what was billed, and what is known at its ends.

-- name: billed_stretches(meter_id, period_start)
-- Read the gas of a meter in a period as it holds now, by stay.
SELECT installed_at, min(from_at) AS from_at, max(to_at) AS to_at,
       sum(volume_dm3)::bigint AS volume_dm3,
       bool_or(closing_quality = 'estimated') AS estimated
FROM usage_now
WHERE meter_id = :meter_id AND period_start = :period_start::date
GROUP BY installed_at;

-- name: how_known(meter_id, read_at)^
-- Say of a trusted register when it reached us, and whether a person wrote it.
SELECT r.received_at, d.decision
FROM reading r
LEFT JOIN reading_decision d ON d.meter_id = r.meter_id AND d.read_at = r.read_at
WHERE r.meter_id = :meter_id AND r.read_at = :read_at;
