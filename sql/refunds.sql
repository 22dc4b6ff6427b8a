-- Refunds. A refund changes its state and writes its step in one statement, so there is never one
-- without the other; what it moves in the ledger is written in the same transaction.

-- name: debit_transfers(account_id, prefix)
-- Read what the ledger has of one debit.
SELECT account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
       posted_at
FROM transfer
WHERE account_id = :account_id AND transfer_id >= :prefix::text
    AND transfer_id < left(:prefix::text, -1) || '0'
ORDER BY transfer_id;

-- name: lock_account(account_id)$
-- Keep everybody else from an account's credit until the commit.
SELECT account_id FROM account WHERE account_id = :account_id FOR NO KEY UPDATE;

-- name: paid_too_much(account_id, bill_no)^
-- Sum up what a bill was paid too much, and what of the account's money is owed to its resident.
SELECT
    (-coalesce(sum(
        CASE 'receivable' WHEN t.debit_code THEN t.amount_minor
                          WHEN t.credit_code THEN -t.amount_minor END
    ) FILTER (WHERE t.bill_no = :bill_no), 0))::bigint AS bill_minor,
    coalesce(sum(
        CASE 'refund_due' WHEN t.credit_code THEN t.amount_minor
                          WHEN t.debit_code THEN -t.amount_minor END
    ), 0)::bigint AS refund_due_minor,
    coalesce(sum(
        CASE 'resident_credit' WHEN t.credit_code THEN t.amount_minor
                               WHEN t.debit_code THEN -t.amount_minor END
    ), 0)::bigint AS credit_minor
FROM transfer t
WHERE t.account_id = :account_id AND t.phase = 'posted';

-- name: refunds_of(account_id, bill_no, attempt)
-- Read the refunds of one debit, the first one first.
SELECT * FROM refund
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
ORDER BY refund_no;

-- name: refund(account_id, bill_no, attempt, refund_no)^
-- One refund, as it stands.
SELECT * FROM refund
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
    AND refund_no = :refund_no;

-- name: lock_refund(account_id, bill_no, attempt, refund_no)^
-- Lock one refund.
SELECT * FROM refund
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
    AND refund_no = :refund_no
FOR UPDATE;

-- name: refund_by_bank_id(bank_refund_id)^
-- The refund that a name of the bank's belongs to.
SELECT * FROM refund WHERE bank_refund_id = :bank_refund_id;

-- name: add_refund(account_id, bill_no, attempt, refund_no, amount_minor, cause, source, asked_by, because, counted_minor, left_out, at)^
-- Keep a new refund with its first step. What was given back before is added up here, under the lock of
-- the debit, and the table refuses more than was taken.
WITH born AS (
    INSERT INTO refund (
        account_id, bill_no, attempt, refund_no, state, amount_minor, currency, cause, source,
        asked_by, because, asked_at, debit_minor, before_minor, counted_minor, changed_at
    )
    SELECT d.account_id, d.bill_no, d.attempt, :refund_no, 'requested', :amount_minor, d.currency,
           :cause, :source, :asked_by, :because, :at, d.amount_minor,
           (
               SELECT coalesce(sum(r.amount_minor), 0) FROM refund r
               WHERE r.account_id = d.account_id AND r.bill_no = d.bill_no
                   AND r.attempt = d.attempt AND NOT r.state = ANY (:left_out::text[])
           ),
           :counted_minor, :at
    FROM debit d
    WHERE d.account_id = :account_id AND d.bill_no = :bill_no AND d.attempt = :attempt
    RETURNING *
), step AS (
    INSERT INTO refund_step (
        account_id, bill_no, attempt, refund_no, step_no, from_state, to_state, reason, taken_at
    )
    SELECT account_id, bill_no, attempt, refund_no, 1, NULL, state, reason, changed_at FROM born
)
SELECT * FROM born;

-- name: move_refund(account_id, bill_no, attempt, refund_no, from_state, state, reason, idempotency_key, body, body_digest, bank_refund_id, lease_until, sends, first_sent_at, at)^
-- Take a refund one step on from the state we saw it in, and write the step down.
WITH went AS (
    UPDATE refund SET
        state = :state, reason = :reason, idempotency_key = :idempotency_key, body = :body,
        body_digest = :body_digest, bank_refund_id = :bank_refund_id, lease_until = :lease_until,
        sends = :sends, first_sent_at = :first_sent_at, changed_at = :at
    WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
        AND refund_no = :refund_no AND state = :from_state
    RETURNING account_id, bill_no, attempt, refund_no, state, reason, changed_at
)
INSERT INTO refund_step (
    account_id, bill_no, attempt, refund_no, step_no, from_state, to_state, reason, taken_at
)
SELECT w.account_id, w.bill_no, w.attempt, w.refund_no,
    1 + (
        SELECT count(*) FROM refund_step s
        WHERE s.account_id = w.account_id AND s.bill_no = w.bill_no AND s.attempt = w.attempt
            AND s.refund_no = w.refund_no
    ),
    :from_state, w.state, w.reason, w.changed_at
FROM went w
RETURNING step_no;

-- name: touch_refund(account_id, bill_no, attempt, refund_no, at)!
-- Note that we looked at a refund and found nothing to do, so that others have their turn first.
UPDATE refund SET changed_at = :at
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
    AND refund_no = :refund_no;

-- name: claim_refund(at)^
-- Lock one refund that is ready to be sent or asked about again, passing over those in other hands.
SELECT *
FROM refund
WHERE state IN ('recorded', 'unknown', 'sending') AND (lease_until IS NULL OR lease_until <= :at)
ORDER BY changed_at, account_id, bill_no
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: debit(account_id, bill_no, attempt)^
-- One debit, as it stands.
SELECT * FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: refunds_to_record(at, batch)
-- Refunds that were asked for, those nobody looked at for longest first.
SELECT account_id, bill_no, attempt, refund_no
FROM refund
WHERE state = 'requested' AND changed_at <= :at
ORDER BY changed_at, account_id, bill_no, attempt, refund_no
LIMIT :batch::int;

-- name: refunds_to_reread(unchanged_since, paid_since, batch)
-- Refunds at the bank of which we have heard nothing for too long; those that were paid may still come
-- back for a while.
SELECT *
FROM refund
WHERE (state = 'pending' OR state = 'paid' AND first_sent_at >= :paid_since::timestamptz)
    AND changed_at <= :unchanged_since
ORDER BY changed_at, account_id, bill_no
LIMIT :batch::int;

-- name: debits_to_give_back(taken, ends, batch)
-- Accounts with money that waits to be sent back, each with the newest debit it can go back through: one
-- that was collected, of which something is left, and whose refunds have not failed.
SELECT DISTINCT ON (w.account_id)
    w.account_id, d.bill_no, d.attempt, least(w.due_minor, d.amount_minor - r.asked_minor)::bigint
        AS amount_minor
FROM (
    SELECT account_id, sum(CASE 'refund_due' WHEN credit_code THEN amount_minor
                                             ELSE -amount_minor END) AS due_minor
    FROM transfer
    WHERE phase = 'posted' AND (credit_code = 'refund_due' OR debit_code = 'refund_due')
    GROUP BY account_id
    HAVING sum(CASE 'refund_due' WHEN credit_code THEN amount_minor ELSE -amount_minor END) > 0
) AS w
JOIN debit d ON d.account_id = w.account_id AND d.state = ANY (:taken::text[])
    AND d.bank_payment_id IS NOT NULL
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount_minor), 0) AS asked_minor,
           coalesce(bool_or(state = ANY (:ends::text[])), false) AS failed
    FROM refund
    WHERE account_id = d.account_id AND bill_no = d.bill_no AND attempt = d.attempt
) AS r
WHERE NOT r.failed AND d.amount_minor > r.asked_minor
ORDER BY w.account_id, d.bill_no DESC, d.attempt DESC
LIMIT :batch::int;

-- name: list_account_refunds(account_id, before_bill_no, before_attempt, before_refund_no, page)
-- List the refunds of an account, those of the newest bill first.
SELECT account_id, bill_no, attempt, refund_no, state, reason, amount_minor, currency, cause, asked_at,
       changed_at
FROM refund
WHERE account_id = :account_id
    AND (bill_no, attempt, refund_no) < (
        :before_bill_no::text, :before_attempt::integer, :before_refund_no::integer
    )
ORDER BY bill_no DESC, attempt DESC, refund_no DESC
LIMIT :page;

-- name: list_refund_steps(account_id, bill_nos)
-- List every step that the refunds for these bills took, in order.
SELECT bill_no, attempt, refund_no, from_state, to_state, reason, taken_at
FROM refund_step
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, attempt, refund_no, step_no;

-- name: list_refunds_in_state(state, after_account_id, after_bill_no, after_attempt, after_refund_no, page)
-- List the refunds of all accounts that stand in one state, in order of account.
SELECT account_id, bill_no, attempt, refund_no, state, reason, amount_minor, currency, cause, asked_at,
       changed_at
FROM refund
WHERE state = :state
    AND (account_id, bill_no, attempt, refund_no) > (
        :after_account_id::text, :after_bill_no::text, :after_attempt::integer,
        :after_refund_no::integer
    )
ORDER BY account_id, bill_no, attempt, refund_no
LIMIT :page;

-- name: debits_to_recover(ends, kinds, batch)
-- List debits whose money the bank claims back, and has kept, by its payouts or its statement, more often
-- than the ledger has it.
SELECT d.account_id, d.bill_no, d.attempt
FROM (
    SELECT account_id, bill_no
    FROM transfer
    WHERE phase = 'posted'
        AND (credit_code = 'chargebacks_receivable' OR debit_code = 'chargebacks_receivable')
    GROUP BY account_id, bill_no
    HAVING sum(CASE debit_code WHEN 'chargebacks_receivable' THEN amount_minor ELSE -amount_minor END) > 0
) AS claimed
JOIN debit d USING (account_id, bill_no)
WHERE d.state = ANY (:ends::text[]) AND d.bank_payment_id IS NOT NULL AND (
    SELECT count(*)
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.payment_id = d.bank_payment_id AND i.kind = ANY (:kinds::text[]) AND p.status <> 'bounced'
) + (
    SELECT count(*) FROM statement_line l
    WHERE l.end_to_end_id = d.bank_payment_id AND l.known_as = 'payment ' || d.bank_payment_id
) > (
    SELECT count(*)
    FROM transfer t
    WHERE t.account_id = d.account_id AND t.bill_no = d.bill_no
        AND t.transfer_id ~ ('^debit/' || d.bill_no || '/' || d.attempt || '/recovered(-[0-9]+)?$')
)
ORDER BY d.account_id, d.bill_no, d.attempt
LIMIT :batch::int;
