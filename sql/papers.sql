-- What a bill says besides its record, as it was known when the bill was issued.

-- name: balances(account_ids, bill_nos)
-- Say how accounts stood when these bills were issued, without them: at the bill before, and since; and
-- what of each bill was settled as it was issued. What residents have in credit counts against their debt.
SELECT b.account_id, b.bill_no, p.issued_at AS opening_at,
       coalesce(sum(t.owed_minor) FILTER (WHERE t.posted_at <= p.issued_at AND NOT t.own), 0)::bigint
           AS opening_minor,
       coalesce(-sum(t.owed_minor) FILTER (
           WHERE t.paid AND NOT t.own AND (t.posted_at <= p.issued_at) IS NOT TRUE
       ), 0)::bigint AS paid_minor,
       coalesce(sum(t.owed_minor) FILTER (
           WHERE NOT t.paid AND NOT t.own AND (t.posted_at <= p.issued_at) IS NOT TRUE
       ), 0)::bigint AS moved_minor,
       coalesce(-sum(t.owed_minor) FILTER (WHERE t.own), 0)::bigint AS settled_minor
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill b ON b.account_id = k.account_id AND b.bill_no = k.bill_no
LEFT JOIN LATERAL (
    SELECT o.issued_at
    FROM bill o
    WHERE o.account_id = b.account_id
      AND (o.issued_at, o.period_start, o.revision) < (b.issued_at, b.period_start, b.revision)
    ORDER BY o.issued_at DESC
    LIMIT 1
) AS p ON true
-- Bills of one run are issued at one instant; a later one of them does not count yet.
LEFT JOIN LATERAL (
    SELECT t.posted_at, t.bill_no IS NOT DISTINCT FROM b.bill_no AS own,
           CASE WHEN t.debit_code IN ('receivable', 'resident_credit')
               THEN t.amount_minor ELSE 0 END
           - CASE WHEN t.credit_code IN ('receivable', 'resident_credit')
               THEN t.amount_minor ELSE 0 END AS owed_minor,
           ARRAY['collections_in_transit', 'bank', 'chargebacks_receivable', 'refunds_payable']
               && ARRAY[t.debit_code, t.credit_code] AS paid
    FROM transfer t
    LEFT JOIN bill o ON o.account_id = t.account_id AND o.bill_no = t.bill_no
    WHERE t.account_id = b.account_id AND t.phase = 'posted' AND t.posted_at <= b.issued_at
      AND t.transfer_id NOT IN (
          'bill/' || b.bill_no || '/net', 'bill/' || b.bill_no || '/vat',
          'bill/' || b.bill_no || '/penalty'
      )
      -- What was carried from bill to bill is owed before as after.
      AND NOT starts_with(t.transfer_id, 'carry/')
      AND (
          t.posted_at < b.issued_at OR o.bill_no IS NULL
          OR (o.issued_at, o.period_start, o.revision) <= (b.issued_at, b.period_start, b.revision)
      )
) AS t ON true
GROUP BY b.account_id, b.bill_no, p.issued_at;

-- name: bills_in_force(account_ids, bill_nos)
-- List the bills of the year up to each of these that asked for gas and had not been cancelled by then.
SELECT b.account_id, b.bill_no, o.bill_no AS other_bill_no, o.period_start, o.volume_dm3, o.total_minor,
       EXISTS (
           SELECT FROM bill_line l
           WHERE l.account_id = o.account_id AND l.bill_no = o.bill_no
             AND 'estimated' IN (l.opening_quality, l.closing_quality)
       ) AS estimated
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill b ON b.account_id = k.account_id AND b.bill_no = k.bill_no
JOIN bill o ON o.account_id = b.account_id AND o.kind <> 'cancellation'
    AND o.issued_at <= b.issued_at AND o.period_start <= b.period_start
    AND o.period_start >= date_trunc('month', b.period_start) - interval '12 months'
WHERE NOT EXISTS (
    SELECT FROM bill c
    WHERE c.account_id = o.account_id AND c.corrects_bill_no = o.bill_no
      AND c.kind = 'cancellation' AND c.issued_at <= b.issued_at
)
ORDER BY b.account_id, b.bill_no, o.period_start, o.revision;

-- name: colds(from_days, to_days, known_ats)
-- Sum up how cold spans of days were, as known at an instant; a span with a day unknown is left out.
SELECT k.from_day, k.to_day, k.known_at, sum(d.degree_days_tenths)::bigint AS degree_days_tenths
FROM (
    SELECT DISTINCT from_day, to_day, known_at
    FROM unnest(:from_days::date[], :to_days::date[], :known_ats::timestamptz[])
        AS k (from_day, to_day, known_at)
) AS k
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (d.day) d.day, d.degree_days_tenths
    FROM degree_day d
    WHERE d.day >= k.from_day AND d.day < k.to_day AND d.noted_at <= k.known_at
    ORDER BY d.day, d.revision DESC
) AS d
GROUP BY k.from_day, k.to_day, k.known_at
HAVING count(*) = k.to_day - k.from_day;

-- name: addressees(account_ids)
-- Read who lives there, for the residents' own copies of their bills only.
SELECT account_id, full_name, address FROM person WHERE account_id = ANY (:account_ids::text[]);
