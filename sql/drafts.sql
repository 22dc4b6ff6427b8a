-- The run rehearsed: what it would do to a chunk of accounts, read before it is rolled back.

-- name: claim_supplied(start_at, end_at, after, chunk)$
-- Lock, in order of key, the next accounts that had a meter in a period, billed or not.
WITH claimed AS (
    SELECT a.account_id
    FROM account a
    WHERE a.account_id > :after::text
      AND EXISTS (
          SELECT FROM installation i
          WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
            AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      )
    ORDER BY a.account_id
    LIMIT :chunk::bigint
    FOR NO KEY UPDATE OF a
)
SELECT array_agg(account_id ORDER BY account_id) FROM claimed;

-- name: claim_stays(account_ids, start_at, end_at)^
-- Lock, in order of key, the stays at some accounts that have not been measured in a period.
WITH claimed AS (
    SELECT i.meter_id, i.installed_at
    FROM installation i
    WHERE i.account_id = ANY (:account_ids::text[]) AND i.installed_at < :end_at::timestamptz
      AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      AND NOT EXISTS (
          SELECT FROM usage u
          WHERE u.meter_id = i.meter_id
            AND u.from_at = greatest(i.installed_at, :start_at::timestamptz)
      )
    ORDER BY i.meter_id, i.installed_at
    FOR NO KEY UPDATE OF i
)
SELECT array_agg(meter_id ORDER BY meter_id, installed_at) AS meter_ids,
       array_agg(installed_at ORDER BY meter_id, installed_at) AS installed_ats
FROM claimed;

-- name: billed_before(account_ids, period_start)
-- List which of these accounts have a bill for a period.
SELECT DISTINCT account_id
FROM bill
WHERE account_id = ANY (:account_ids::text[]) AND period_start = :period_start::date;

-- name: drafted(account_ids, period_start, before_start)
-- Read what accounts are asked for in a period and what holds them, beside the period before.
SELECT k.account_id, a.currency, b.volume_dm3, b.net_minor, b.vat_minor, b.total_minor, h.reason,
       l.volume_dm3 AS last_volume_dm3, l.total_minor AS last_total_minor
FROM unnest(:account_ids::text[]) AS k (account_id)
JOIN account a USING (account_id)
LEFT JOIN LATERAL (
    SELECT b.* FROM bill b
    WHERE b.account_id = k.account_id AND b.period_start = :period_start::date
      AND b.kind <> 'cancellation'
    ORDER BY b.revision DESC
    LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT b.* FROM bill b
    WHERE b.account_id = k.account_id AND b.period_start = :before_start::date
      AND b.kind <> 'cancellation'
    ORDER BY b.revision DESC
    LIMIT 1
) AS l ON true
LEFT JOIN bill_hold h ON h.account_id = k.account_id AND h.period_start = :period_start::date
ORDER BY k.account_id;
