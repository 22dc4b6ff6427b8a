-- What is known about paying late: base rates, moratoria, disputes, and bills that were owed too long.

-- name: list_base_rates()
-- List every word on the base rate.
SELECT valid_from, revision, rate_bp, source, entered_by, entered_at
FROM base_rate
ORDER BY valid_from, revision;

-- name: list_moratoria()
-- List every word on when no penalty is charged.
SELECT valid_from, revision, active, source, entered_by, entered_at
FROM moratorium
ORDER BY valid_from, revision;

-- name: add_base_rate(valid_from, rate_bp, source, entered_by, entered_at)!
-- Enter a base rate; another word on its day becomes a revision.
INSERT INTO base_rate (valid_from, revision, rate_bp, source, entered_by, entered_at)
SELECT :valid_from, coalesce(max(r.revision), 0) + 1, :rate_bp, :source, :entered_by, :entered_at
FROM base_rate r
WHERE r.valid_from = :valid_from;

-- name: add_moratorium(valid_from, active, source, entered_by, entered_at)!
-- Enter that no penalty is charged from a day on, or again; another word on its day is a revision.
INSERT INTO moratorium (valid_from, revision, active, source, entered_by, entered_at)
SELECT :valid_from, coalesce(max(m.revision), 0) + 1, :active, :source, :entered_by, :entered_at
FROM moratorium m
WHERE m.valid_from = :valid_from;

-- name: overdue_transfers(account_ids, period_start, period_end, start_at, at)
-- Read the ledger of bills that were to be paid before a month was over and were owed in it.
SELECT b.account_id, b.bill_no, b.due_on, b.issued_at, t.transfer_id, t.phase, t.debit_code,
       t.credit_code, t.amount_minor, t.currency, t.posted_at
FROM unnest(:account_ids::text[]) AS k (account_id)
CROSS JOIN LATERAL (
    SELECT b.account_id, b.bill_no, b.due_on, b.issued_at
    FROM bill b
    WHERE b.account_id = k.account_id AND b.kind <> 'cancellation'
      AND b.period_start < :period_start::date AND b.due_on < :period_end::date
      AND b.issued_at <= :at::timestamptz
      AND NOT EXISTS (
          SELECT FROM bill c
          WHERE c.account_id = b.account_id AND c.corrects_bill_no = b.bill_no
            AND c.kind = 'cancellation' AND c.issued_at <= :at::timestamptz
      )
    OFFSET 0
) AS b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(
               CASE WHEN s.debit_code = 'receivable' THEN s.amount_minor ELSE -s.amount_minor END
           ) FILTER (WHERE s.posted_at < :start_at::timestamptz), 0) AS owed_minor,
           max(s.posted_at) AS moved_at
    FROM transfer s
    WHERE s.account_id = b.account_id AND s.bill_no = b.bill_no AND s.phase = 'posted'
      AND 'receivable' IN (s.debit_code, s.credit_code)
) AS s
JOIN transfer t ON t.account_id = b.account_id AND t.bill_no = b.bill_no
WHERE s.owed_minor > 0 OR s.moved_at >= :start_at::timestamptz
ORDER BY b.account_id, b.bill_no, t.transfer_id;

-- name: penalties_charged(account_ids)
-- Sum up what was charged so far for paying each bill late.
SELECT account_id, detail ->> 'bill_no' AS bill_no, sum(net_minor)::bigint AS charged_minor
FROM bill_charge
WHERE account_id = ANY (:account_ids::text[]) AND kind = 'penalty'
GROUP BY account_id, detail ->> 'bill_no';

-- name: disputes_of(account_ids)
-- List the disputes about bills of some accounts, ended or not.
SELECT d.account_id, d.bill_no, d.from_day, e.to_day, d.said_at, e.ended_at
FROM bill_dispute d
LEFT JOIN bill_dispute_end e USING (account_id, bill_no, from_day)
WHERE d.account_id = ANY (:account_ids::text[])
ORDER BY d.account_id, d.bill_no, d.from_day;

-- name: has_bill(account_id, bill_no)$
-- Say whether an account has a bill of this number.
SELECT EXISTS (SELECT FROM bill WHERE account_id = :account_id AND bill_no = :bill_no);

-- name: last_dispute(account_id, bill_no)^
-- Read the latest dispute about a bill.
SELECT d.account_id, d.bill_no, d.from_day, d.because, d.said_by, d.said_at, e.to_day, e.outcome,
       e.ended_by, e.ended_at
FROM bill_dispute d
LEFT JOIN bill_dispute_end e USING (account_id, bill_no, from_day)
WHERE d.account_id = :account_id AND d.bill_no = :bill_no
ORDER BY d.from_day DESC
LIMIT 1;

-- name: add_dispute(account_id, bill_no, from_day, because, said_by, said_at)!
-- Write down that a bill is in dispute from a local day on.
INSERT INTO bill_dispute (account_id, bill_no, from_day, because, said_by, said_at)
VALUES (:account_id, :bill_no, :from_day, :because, :said_by, :said_at);

-- name: end_dispute(account_id, bill_no, from_day, to_day, outcome, ended_by, ended_at)!
-- Write down that a dispute is over, and what came of it.
INSERT INTO bill_dispute_end (account_id, bill_no, from_day, to_day, outcome, ended_by, ended_at)
VALUES (:account_id, :bill_no, :from_day, :to_day, :outcome, :ended_by, :ended_at);
