-- The record of a bill: everything it was made of, as it was known when the bill was issued.

-- name: bills_of_period(period_start, after_account_id, after_revision, chunk)
-- List the bills of a period in order of account and revision.
SELECT account_id, bill_no
FROM bill
WHERE period_start = :period_start::date
  AND (account_id, revision) > (:after_account_id::text, :after_revision::integer)
ORDER BY account_id, revision
LIMIT :chunk::bigint;

-- name: recorded_bills(account_ids, bill_nos)
-- Read bills by account and number, with what their accounts were opened with.
SELECT b.account_id, b.bill_no, b.period_start, b.period_end, b.revision, b.volume_dm3, b.net_minor,
       b.vat_minor, b.total_minor, b.currency, b.issued_at, b.due_on, b.kind, b.corrects_bill_no,
       a.tariff_code AS opened_with
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill b ON b.account_id = k.account_id AND b.bill_no = k.bill_no
JOIN account a ON a.account_id = b.account_id
ORDER BY b.account_id, b.period_start, b.revision;

-- name: recorded_lines(account_ids, bill_nos)
-- Read the lines of some bills.
SELECT l.account_id, l.bill_no, l.line_no, l.meter_id, l.supply_point_id, l.from_at, l.to_at,
       l.opening_register_dm3, l.opening_read_at, l.closing_register_dm3, l.closing_read_at,
       l.volume_dm3, l.tariff_code, l.tariff_valid_from, l.net_minor_per_1000_m3, l.vat_rate_bp,
       l.net_minor, l.vat_minor, l.band_no, l.multiplier_bp, l.energy_wh, l.net_minor_per_gwh,
       l.days, l.days_of, l.opening_quality, l.closing_quality
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill_line l ON l.account_id = k.account_id AND l.bill_no = k.bill_no
ORDER BY l.account_id, l.bill_no, l.line_no;

-- name: recorded_charges(account_ids, bill_nos)
-- Read the charges of some bills.
SELECT c.account_id, c.bill_no, c.charge_no, c.kind, c.from_day, c.to_day, c.tariff_code,
       c.tariff_valid_from, c.line_no, c.quantity,
       c.detail::text AS detail, c.vat_rate_bp, c.net_minor, c.vat_minor
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill_charge c ON c.account_id = k.account_id AND c.bill_no = k.bill_no
ORDER BY c.account_id, c.bill_no, c.charge_no;

-- name: recorded_terms(account_ids)
-- Read every word on some accounts.
SELECT t.account_id, t.valid_from, t.revision, t.tariff_code, t.persons, t.social, t.said_by, t.said_at
FROM account_terms t
WHERE t.account_id = ANY (:account_ids::text[])
ORDER BY t.account_id, t.valid_from, t.revision;

-- name: recorded_usages(account_ids, period_starts, known_ats)
-- Read the gas of some accounts in their periods, as measured by an instant, with the way of the dial.
SELECT k.account_id, k.period_start, k.known_at, u.meter_id, u.installed_at, u.supply_point_id,
       m.dial_dm3, u.from_at, coalesce(r.to_at, u.to_at) AS to_at,
       coalesce(r.opening_register_dm3, u.opening_register_dm3) AS opening_register_dm3,
       coalesce(r.opening_turns, u.opening_turns) AS opening_turns,
       coalesce(r.opening_read_at, u.opening_read_at) AS opening_read_at,
       coalesce(r.opening_quality, u.opening_quality) AS opening_quality,
       coalesce(r.closing_register_dm3, u.closing_register_dm3) AS closing_register_dm3,
       coalesce(r.closing_turns, u.closing_turns) AS closing_turns,
       coalesce(r.closing_read_at, u.closing_read_at) AS closing_read_at,
       coalesce(r.closing_quality, u.closing_quality) AS closing_quality,
       coalesce(r.volume_dm3, u.volume_dm3) AS volume_dm3,
       CASE WHEN r.revision IS NULL THEN e.standard_dm3 END AS standard_dm3,
       CASE WHEN r.revision IS NULL THEN e.energy_wh ELSE r.energy_wh END AS energy_wh
FROM (
    SELECT DISTINCT account_id, period_start, known_at
    FROM unnest(:account_ids::text[], :period_starts::date[], :known_ats::timestamptz[])
        AS k (account_id, period_start, known_at)
) AS k
JOIN usage u ON u.account_id = k.account_id AND u.period_start = k.period_start
JOIN meter m ON m.meter_id = u.meter_id
LEFT JOIN usage_energy e ON e.meter_id = u.meter_id AND e.from_at = u.from_at
LEFT JOIN LATERAL (
    SELECT r.*
    FROM usage_revision r
    WHERE r.meter_id = u.meter_id AND r.from_at = u.from_at AND r.made_at <= k.known_at
    ORDER BY r.revision DESC
    LIMIT 1
) AS r ON true
ORDER BY k.account_id, k.period_start, u.from_at, u.supply_point_id, u.meter_id;
