-- Vouchers: entered and revoked by people, spent by the run. What is used of one stands in the ledger.

-- name: lock_account(account_id)$
-- Hold an account still, against a run that bills it; say its currency.
SELECT currency FROM account WHERE account_id = :account_id FOR NO KEY UPDATE;

-- name: last_issued_at(account_id)$
-- Say when the newest bill of an account was issued.
SELECT max(issued_at) FROM bill WHERE account_id = :account_id;

-- name: add_voucher(account_id, source, amount_minor, currency, valid_from, valid_to, entered_by, entered_at)$
-- Enter a voucher under the next number of its account, which is locked; nothing for a known document.
INSERT INTO voucher (
    account_id, voucher_no, source, amount_minor, currency, valid_from, valid_to, entered_by,
    entered_at
)
SELECT :account_id, coalesce(max(v.voucher_no), 0) + 1, :source, :amount_minor, :currency,
       :valid_from, :valid_to, :entered_by, :entered_at
FROM voucher v
WHERE v.account_id = :account_id
ON CONFLICT ON CONSTRAINT document_grants_once DO NOTHING
RETURNING voucher_no;

-- name: list_vouchers(account_id)
-- List what was granted to an account, and what of it was taken back.
SELECT v.account_id, v.voucher_no, v.source, v.amount_minor, v.currency, v.valid_from, v.valid_to,
       v.entered_by, v.entered_at, r.revoked_by, r.because AS revoked_because, r.revoked_at
FROM voucher v
LEFT JOIN voucher_revocation r USING (account_id, voucher_no)
WHERE v.account_id = :account_id
ORDER BY v.voucher_no;

-- name: voucher_uses(account_id)
-- List what the vouchers of an account paid, in the order of their bills.
SELECT split_part(transfer_id, '/', 2)::integer AS voucher_no, bill_no, amount_minor,
       posted_at AS used_at
FROM transfer
WHERE account_id = :account_id AND starts_with(transfer_id, 'voucher/')
ORDER BY posted_at, bill_no, voucher_no;

-- name: revoke_voucher(account_id, voucher_no, because, revoked_by, revoked_at)!
-- Take back what is left of a voucher.
INSERT INTO voucher_revocation (account_id, voucher_no, because, revoked_by, revoked_at)
VALUES (:account_id, :voucher_no, :because, :revoked_by, :revoked_at);

-- name: apply_vouchers(account_ids, bill_no, day, at)$
-- Pay the new bills of locked accounts with what their vouchers hold, the first to expire first; say how
-- much that was. A bill that vouchers have paid before is left alone.
WITH usable AS MATERIALIZED (
    SELECT v.account_id, v.voucher_no, v.currency, v.valid_to,
           v.amount_minor - used.minor AS rest_minor
    FROM unnest(:account_ids::text[]) AS k (account_id)
    CROSS JOIN LATERAL (
        SELECT v.*
        FROM voucher v
        WHERE v.account_id = k.account_id AND v.valid_from <= :day::date
          AND v.valid_to > :day::date AND v.entered_at <= :at::timestamptz
          AND NOT EXISTS (
              SELECT FROM voucher_revocation r
              WHERE r.account_id = v.account_id AND r.voucher_no = v.voucher_no
                AND r.revoked_at <= :at::timestamptz
          )
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(t.amount_minor), 0)::bigint AS minor
        FROM transfer t
        WHERE t.account_id = v.account_id
          AND starts_with(t.transfer_id, 'voucher/' || v.voucher_no || '/')
    ) AS used
    WHERE v.amount_minor > used.minor
),
asked AS MATERIALIZED (
    SELECT b.account_id, b.currency, sum(
               CASE WHEN t.debit_code = 'receivable' THEN t.amount_minor ELSE -t.amount_minor END
           )::bigint AS owed_minor
    FROM (SELECT DISTINCT account_id FROM usable) AS u
    JOIN bill b ON b.account_id = u.account_id AND b.bill_no = :bill_no::text
    JOIN transfer t ON t.account_id = b.account_id AND t.bill_no = b.bill_no
        AND t.phase = 'posted' AND 'receivable' IN (t.debit_code, t.credit_code)
    GROUP BY b.account_id, b.currency
    HAVING NOT bool_or(starts_with(t.transfer_id, 'voucher/'))
),
share AS (
    SELECT u.account_id, u.voucher_no, u.currency, least(
               u.rest_minor,
               a.owed_minor - coalesce(sum(u.rest_minor) OVER (
                   PARTITION BY u.account_id ORDER BY u.valid_to, u.voucher_no
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
               ), 0)
           )::bigint AS amount_minor
    FROM usable u
    JOIN asked a USING (account_id, currency)
),
paid AS (
    INSERT INTO transfer (
        account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
        posted_at
    )
    SELECT account_id, 'voucher/' || voucher_no || '/' || :bill_no::text, 'posted', 'voucher',
           'receivable', amount_minor, currency, :bill_no::text, :at::timestamptz
    FROM share
    WHERE amount_minor > 0
    ORDER BY account_id, voucher_no
    RETURNING amount_minor
)
SELECT coalesce(sum(amount_minor), 0)::bigint FROM paid;
