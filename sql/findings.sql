-- What the rules of belief read about installations and periods, the findings they write, and what
-- people say about them.

-- name: survey_installations(start_at, end_at, after_meter_id, after_installed_at, chunk)
-- List, in order of key, the next installations that hung in a period, with their meters.
SELECT i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3, i.removed_at,
       i.closing_dm3, i.closing_turns, m.dial_dm3, m.step_dm3, m.qmax_dm3_h, m.compensated,
       m.meter_type
FROM installation i
JOIN meter m USING (meter_id)
WHERE (i.meter_id, i.installed_at) > (:after_meter_id::text, :after_installed_at::timestamptz)
  AND i.installed_at < :end_at::timestamptz
  AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
ORDER BY i.meter_id, i.installed_at
LIMIT :chunk::bigint;

-- name: survey_readings(meter_ids, installed_ats, from_at, to_at)
-- Read what these installations said in a stretch of time, and what a person decided on it.
SELECT k.meter_id, k.installed_at, r.read_at, r.register_dm3, r.turns, r.reason, r.received_at,
       d.register_dm3 AS decided_dm3, d.turns AS decided_turns
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
JOIN installation i ON i.meter_id = k.meter_id AND i.installed_at = k.installed_at
JOIN reading r ON r.meter_id = k.meter_id
    AND r.read_at >= :from_at::timestamptz AND r.read_at <= :to_at::timestamptz
    AND r.read_at >= k.installed_at AND (i.removed_at IS NULL OR r.read_at < i.removed_at)
LEFT JOIN reading_decision d ON d.meter_id = r.meter_id AND d.read_at = r.read_at
ORDER BY k.meter_id, k.installed_at, r.read_at;

-- name: survey_days(meter_ids, installed_ats, from_at, to_at)
-- Read the last trusted register of each UTC day of these installations.
SELECT DISTINCT ON (k.meter_id, k.installed_at, date_trunc('day', t.read_at, 'UTC'))
       k.meter_id, k.installed_at, t.read_at, t.register_dm3, t.turns
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
JOIN installation i ON i.meter_id = k.meter_id AND i.installed_at = k.installed_at
JOIN trusted_reading t ON t.meter_id = k.meter_id
    AND t.read_at >= :from_at::timestamptz AND t.read_at < :to_at::timestamptz
    AND t.read_at >= k.installed_at AND (i.removed_at IS NULL OR t.read_at < i.removed_at)
ORDER BY k.meter_id, k.installed_at, date_trunc('day', t.read_at, 'UTC'), t.read_at DESC;

-- name: survey_flags(meter_ids, installed_ats, from_at, to_at)
-- List what these devices said about themselves in the telegrams of a period's readings.
SELECT DISTINCT k.meter_id, k.installed_at, flag
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
JOIN installation i ON i.meter_id = k.meter_id AND i.installed_at = k.installed_at
JOIN reading r ON r.meter_id = k.meter_id
    AND r.read_at >= :from_at::timestamptz AND r.read_at < :to_at::timestamptz
    AND r.read_at >= k.installed_at AND (i.removed_at IS NULL OR r.read_at < i.removed_at)
JOIN telegram t ON t.meter_id = r.meter_id AND t.key_epoch = r.key_epoch
    AND t.counter = r.counter
CROSS JOIN LATERAL unnest(t.flags) AS flag;

-- name: survey_silences(meter_ids, installed_ats, from_at, to_at)
-- List the silences declared for these meters around a period, two days wider on both sides.
SELECT k.meter_id, k.installed_at, s.from_at, s.to_at
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
CROSS JOIN LATERAL (
    SELECT (g.from_day - 2)::timestamp AT TIME ZONE 'UTC' AS from_at,
           (g.to_day + 2)::timestamp AT TIME ZONE 'UTC' AS to_at
    FROM declared_gap g
    WHERE g.meter_id = k.meter_id AND NOT EXISTS (
        SELECT FROM gap_withdrawal w WHERE w.meter_id = g.meter_id AND w.gap_id = g.gap_id
    )
) AS s
WHERE s.from_at < :to_at::timestamptz AND s.to_at > :from_at::timestamptz;

-- name: survey_usage(meter_ids, installed_ats, period_starts)
-- Read the gas of these installations in some earlier periods as it holds now, and how long it was
-- measured.
SELECT k.meter_id, k.installed_at, u.period_start, sum(u.volume_dm3)::bigint AS volume_dm3,
       round(extract(epoch FROM sum(u.to_at - u.from_at)) / 86400)::integer AS days,
       bool_or(u.closing_quality = 'estimated') AS estimated
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
CROSS JOIN LATERAL (
    SELECT u.period_start, u.volume_dm3, u.from_at, u.to_at, u.closing_quality
    FROM usage_now u
    WHERE u.meter_id = k.meter_id AND u.installed_at = k.installed_at
      AND u.period_start = ANY (:period_starts::date[])
    OFFSET 0
) AS u
GROUP BY 1, 2, 3;

-- name: degree_days(starts, ends)
-- Add up how cold each of these stretches of days was, where every day of it is known.
SELECT s.start_on, sum(d.degree_days_tenths)::integer AS degree_days_tenths
FROM unnest(:starts::date[], :ends::date[]) AS s (start_on, end_on)
JOIN LATERAL (
    SELECT DISTINCT ON (day) day, degree_days_tenths
    FROM degree_day
    WHERE day >= s.start_on AND day < s.end_on
    ORDER BY day, revision DESC
) AS d ON true
GROUP BY s.start_on, s.end_on
HAVING count(*) = s.end_on - s.start_on;

-- name: add_reading_findings(meter_ids, read_ats, codes, digests, versions, outcomes, figures, at)!
-- Write what the rules say about readings; what was said before is not said again.
INSERT INTO reading_finding (meter_id, read_at, code, digest, version, outcome, figures, found_at)
SELECT f.meter_id, f.read_at, f.code, f.digest, f.version, f.outcome, f.figures::jsonb,
       :at::timestamptz
FROM unnest(:meter_ids::text[], :read_ats::timestamptz[], :codes::text[], :digests::bytea[],
            :versions::text[], :outcomes::text[], :figures::text[])
    AS f (meter_id, read_at, code, digest, version, outcome, figures)
ORDER BY f.meter_id, f.read_at, f.code, f.digest
ON CONFLICT DO NOTHING;

-- name: add_period_findings(meter_ids, installed_ats, period_start, codes, digests, versions, outcomes, figures, at)!
-- Write what the rules say about a period; what was said before is not said again.
INSERT INTO period_finding (
    meter_id, installed_at, period_start, code, digest, version, outcome, figures, found_at
)
SELECT f.meter_id, f.installed_at, :period_start::date, f.code, f.digest, f.version, f.outcome,
       f.figures::jsonb, :at::timestamptz
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[], :codes::text[], :digests::bytea[],
            :versions::text[], :outcomes::text[], :figures::text[])
    AS f (meter_id, installed_at, code, digest, version, outcome, figures)
ORDER BY f.meter_id, f.installed_at, f.code, f.digest
ON CONFLICT DO NOTHING;

-- name: list_findings(meter, outcome, state, from_at, to_at, month, before, before_meter, before_digest, page)
-- List findings with what was decided on them, the newest first; what is null does not narrow the list.
SELECT f.meter_id, f.digest, f.read_at, f.installed_at, f.period_start, f.code, f.version, f.outcome,
       f.figures::text AS figures, f.found_at, d.decided_by, d.because, d.decided_at
FROM (
    SELECT meter_id, digest, read_at, NULL::timestamptz AS installed_at, NULL::date AS period_start,
           code, version, outcome, figures, found_at
    FROM reading_finding
    WHERE (:from_at::timestamptz IS NULL OR read_at >= :from_at::timestamptz
           AND read_at < :to_at::timestamptz)
    UNION ALL
    SELECT meter_id, digest, NULL, installed_at, period_start, code, version, outcome, figures,
           found_at
    FROM period_finding
    WHERE (:month::date IS NULL OR period_start = :month::date)
) AS f
LEFT JOIN finding_decision d ON d.meter_id = f.meter_id AND d.digest = f.digest
WHERE (f.found_at, f.meter_id, f.digest)
      < (:before::timestamptz, :before_meter::text, :before_digest::bytea)
  AND (:meter::text IS NULL OR f.meter_id = :meter::text)
  AND (:outcome::text IS NULL OR f.outcome = :outcome::text)
  AND (:state::text IS NULL OR (d.digest IS NULL) = (:state::text = 'open'))
ORDER BY f.found_at DESC, f.meter_id DESC, f.digest DESC
LIMIT :page::bigint;

-- name: find_finding(meter_id, digest)^
-- Find one finding of a meter with what was decided on it.
SELECT f.meter_id, f.digest, f.read_at, f.installed_at, f.period_start, f.code, f.version, f.outcome,
       f.figures::text AS figures, f.found_at, d.decided_by, d.because, d.decided_at
FROM (
    SELECT meter_id, digest, read_at, NULL::timestamptz AS installed_at, NULL::date AS period_start,
           code, version, outcome, figures, found_at
    FROM reading_finding
    UNION ALL
    SELECT meter_id, digest, NULL, installed_at, period_start, code, version, outcome, figures,
           found_at
    FROM period_finding
) AS f
LEFT JOIN finding_decision d ON d.meter_id = f.meter_id AND d.digest = f.digest
WHERE f.meter_id = :meter_id::text AND f.digest = :digest::bytea;

-- name: decide_finding(meter_id, digest, decided_by, because, at)$
-- Keep a person's word on a finding; nothing comes back when there was one before.
INSERT INTO finding_decision (meter_id, digest, decided_by, because, decided_at)
VALUES (:meter_id::text, :digest::bytea, :decided_by::text, :because::text, :at::timestamptz)
ON CONFLICT DO NOTHING
RETURNING digest;

-- name: add_validation(period_start, at, installations, flagged, held, refused, written)!
-- Note that the rules have gone over a month; two at one instant are one.
INSERT INTO validation (
    period_start, validated_at, installations, flagged, held, refused, written
)
VALUES (:period_start::date, :at::timestamptz, :installations::bigint, :flagged::bigint,
        :held::bigint, :refused::bigint, :written::bigint)
ON CONFLICT DO NOTHING;

-- name: validated_since(period_start, since)$
-- Say whether the rules went over a month at or after an instant.
SELECT EXISTS (
    SELECT FROM validation
    WHERE period_start = :period_start::date AND validated_at >= :since::timestamptz
);
