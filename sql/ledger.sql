-- Balances and movements of the ledger, for residents, operators and accountants.

-- name: trial_balance(start_at, end_at)
-- Add up every account of the ledger before an instant, and what moved it up to another, each in one
-- reading: first pair by pair, then account by account.
WITH moved AS (
    SELECT debit_code, credit_code, currency,
           coalesce(sum(amount_minor) FILTER (WHERE posted_at < :start_at::timestamptz), 0) AS before_minor,
           coalesce(sum(amount_minor) FILTER (WHERE posted_at >= :start_at::timestamptz), 0) AS since_minor
    FROM (
        SELECT debit_code, credit_code, currency, amount_minor, posted_at
        FROM transfer WHERE phase = 'posted' AND posted_at < :end_at::timestamptz
        UNION ALL
        SELECT debit_code, credit_code, currency, amount_minor, posted_at
        FROM town_transfer WHERE posted_at < :end_at::timestamptz
    ) AS posted
    GROUP BY debit_code, credit_code, currency
)
SELECT a.code, a.side, s.currency, sum(s.opening_minor)::bigint AS opening_minor,
       sum(s.debited_minor)::bigint AS debited_minor, sum(s.credited_minor)::bigint AS credited_minor
FROM (
    SELECT debit_code AS code, currency, before_minor AS opening_minor, since_minor AS debited_minor,
           0 AS credited_minor
    FROM moved
    UNION ALL
    SELECT credit_code, currency, -before_minor, 0, since_minor FROM moved
) AS s
JOIN ledger_account a USING (code)
GROUP BY a.code, a.side, s.currency
ORDER BY s.currency, a.code;

-- name: account_of_statement(account_id, his, start_at, end_at)^
-- Say in which currency an account is billed, what it owed before an instant, and what of it was on its
-- way from the resident's bank at another.
SELECT a.currency, coalesce((
    SELECT sum(
        t.amount_minor * (
            (t.debit_code = ANY (:his::text[]))::int - (t.credit_code = ANY (:his::text[]))::int
        )
    )
    FROM transfer t
    WHERE t.account_id = a.account_id AND t.phase = 'posted' AND t.posted_at < :start_at::timestamptz
), 0)::bigint AS opening_minor, coalesce((
    SELECT sum(t.amount_minor * CASE WHEN t.phase = 'pending' THEN 1 ELSE -1 END)
    FROM transfer t
    WHERE t.account_id = a.account_id AND t.posted_at < :end_at::timestamptz
      AND t.debit_code = 'collections_in_transit' AND t.credit_code = 'receivable'
      AND t.transfer_id ~ '/(pending|posted|void)(-[0-9]+)?$'
), 0)::bigint AS under_way_minor
FROM account a
WHERE a.account_id = :account_id;

-- name: statement_transfers(account_id, his, start_at, end_at, most)
-- Read what moved an account between two instants, in the order of posting.
SELECT account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
       posted_at
FROM transfer
WHERE account_id = :account_id AND phase = 'posted' AND posted_at >= :start_at::timestamptz
  AND posted_at < :end_at::timestamptz
  AND (debit_code = ANY (:his::text[]) OR credit_code = ANY (:his::text[]))
ORDER BY posted_at, bill_no, transfer_id
LIMIT :most::bigint;
