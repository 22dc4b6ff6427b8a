-- Debits and the mandates that allow them. A debit changes its state and writes its step in one
-- statement, so there is never one without the other.

-- name: bills_to_notice(today, retryable_causes, repeatable_cancels, failures_max, attempts_max, currencies, minimums, batch)
-- Bills that still owe money and are in no dispute, whose account has a usable mandate and no attempt
-- that stands in the way. A sum that the town finds too small waits for the next bill, unless there is none.
SELECT b.account_id, b.bill_no, b.due_on, b.currency, m.mandate_id
FROM bill b
JOIN mandate m ON m.account_id = b.account_id AND m.state = 'active' AND m.enrolment = 'active'
    AND m.currency = b.currency
CROSS JOIN LATERAL (
    SELECT sum(CASE WHEN t.debit_code = 'receivable' THEN t.amount_minor ELSE -t.amount_minor END) AS minor
    FROM transfer t
    WHERE t.account_id = b.account_id AND t.bill_no = b.bill_no AND t.phase = 'posted'
        AND 'receivable' IN (t.debit_code, t.credit_code)
        AND 'refunds_payable' NOT IN (t.debit_code, t.credit_code)
) AS owed
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE d.state IN ('failed', 'retry_due', 'exhausted')) AS failures,
        coalesce(max(d.attempt), 0) AS last_attempt
    FROM debit d
    WHERE d.account_id = b.account_id AND d.bill_no = b.bill_no
) AS past
WHERE b.kind <> 'cancellation'
    AND NOT EXISTS (
        SELECT FROM bill c
        WHERE c.account_id = b.account_id AND c.corrects_bill_no = b.bill_no
            AND c.kind = 'cancellation'
    )
    AND NOT EXISTS (
        SELECT FROM debit d
        WHERE d.account_id = b.account_id AND d.bill_no = b.bill_no
            AND CASE d.state
                WHEN 'failed' THEN NOT (coalesce(d.reason, '') = ANY (:retryable_causes::text[]))
                WHEN 'retry_due' THEN d.retry_on > :today::date
                WHEN 'cancelled' THEN NOT (coalesce(d.reason, '') = ANY (:repeatable_cancels::text[]))
                ELSE true
            END
    )
    AND NOT EXISTS (
        SELECT FROM open_dispute q WHERE q.account_id = b.account_id AND q.bill_no = b.bill_no
    )
    AND NOT EXISTS (
        SELECT FROM debit_stop s WHERE s.account_id = b.account_id AND s.bill_no = b.bill_no
    )
    AND owed.minor > 0
    AND (
        owed.minor >= coalesce((
            SELECT max(m.minimum_minor)
            FROM unnest(:currencies::text[], :minimums::bigint[]) AS m (currency, minimum_minor)
            WHERE m.currency = b.currency
        ), 0)
        OR EXISTS (SELECT FROM account_closing c WHERE c.account_id = b.account_id)
    )
    AND past.failures < :failures_max::int
    AND past.last_attempt < :attempts_max::int
ORDER BY b.due_on, b.account_id, b.bill_no
LIMIT :batch::int;

-- name: debits_to_tell(at, batch)
-- Held debits, and planned ones whose letter is on its way, longest unseen first.
SELECT account_id, bill_no, attempt, mandate_id
FROM debit
WHERE state IN ('held', 'planned') AND changed_at < :at
ORDER BY changed_at, account_id, bill_no
LIMIT :batch::int;

-- name: debits_to_record(charge_until, batch)
-- Noticed debits whose day to be recorded has come.
SELECT account_id, bill_no, attempt, mandate_id
FROM debit
WHERE state = 'noticed' AND charge_on <= :charge_until
ORDER BY charge_on, account_id, bill_no
LIMIT :batch::int;

-- name: claim_debits(at, batch)
-- Lock debits that are ready to be sent or asked about again, passing over those in other hands. One of a
-- frozen mandate is only asked about. While the run is stopped, one that was never sent is left alone,
-- unless nobody wants it any more.
SELECT d.*, m.bank_mandate_id, f.wanted, f.frozen, EXISTS (SELECT FROM open_run_stop) AS stopped
FROM debit d
JOIN mandate m USING (account_id, mandate_id)
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM mandate_freeze z
        WHERE z.account_id = d.account_id AND z.mandate_id = d.mandate_id AND z.lifted_at IS NULL
    ) AS frozen,
    m.state = 'active' AND m.enrolment = 'active' AND NOT EXISTS (
        SELECT FROM debit_stop s WHERE s.account_id = d.account_id AND s.bill_no = d.bill_no
    ) AND NOT EXISTS (
        SELECT FROM open_dispute q WHERE q.account_id = d.account_id AND q.bill_no = d.bill_no
    ) AS wanted
) AS f
WHERE d.state IN ('recorded', 'unknown', 'sending')
    AND (d.lease_until IS NULL OR d.lease_until <= :at)
    AND (NOT f.frozen OR d.sends > 0 OR NOT f.wanted)
    AND (d.state <> 'recorded' OR NOT f.wanted OR NOT EXISTS (SELECT FROM open_run_stop))
LIMIT :batch::int
FOR UPDATE OF d SKIP LOCKED;

-- name: payments_to_withdraw(batch)
-- Debits that the bank has and their resident has stopped, whose bill is in dispute, or whose mandate he has
-- paused or cancelled.
SELECT d.*
FROM debit d
JOIN mandate m USING (account_id, mandate_id)
WHERE d.bank_payment_id IS NOT NULL
    AND (
        d.state = 'cancel_requested'
        OR d.state = 'accepted' AND (
            m.enrolment <> 'active' OR EXISTS (
                SELECT FROM debit_stop s
                WHERE s.account_id = d.account_id AND s.bill_no = d.bill_no
            ) OR EXISTS (
                SELECT FROM open_dispute q WHERE q.account_id = d.account_id AND q.bill_no = d.bill_no
            )
        )
    )
ORDER BY d.changed_at, d.account_id, d.bill_no
LIMIT :batch::int;

-- name: mandates_to_withdraw(batch)
-- Mandates that their resident has cancelled and the bank has not ended yet.
SELECT *
FROM mandate
WHERE enrolment = 'cancelled' AND state IN ('invited', 'pending', 'active')
ORDER BY changed_at, account_id, mandate_id
LIMIT :batch::int;

-- name: mandates_to_retire(batch)
-- List mandates of accounts that have ended, whose final bill is issued and who owe nothing any more.
SELECT m.account_id, m.mandate_id
FROM account_closing c
JOIN mandate m ON m.account_id = c.account_id AND m.enrolment <> 'cancelled'
    AND m.state IN ('invited', 'pending', 'active')
WHERE EXISTS (
        SELECT FROM bill b
        WHERE b.account_id = c.account_id AND b.period_start <= c.last_day
          AND b.period_end > c.last_day
    )
  AND NOT EXISTS (
      SELECT FROM debit d
      WHERE d.account_id = c.account_id
        AND d.state NOT IN (
            'settled', 'reconciled', 'failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted'
        )
  )
  AND (
      SELECT coalesce(sum(
          CASE WHEN t.debit_code = 'receivable' THEN t.amount_minor ELSE -t.amount_minor END
      ), 0)
      FROM transfer t
      WHERE t.account_id = c.account_id AND t.phase = 'posted'
        AND 'receivable' IN (t.debit_code, t.credit_code)
  ) <= 0
ORDER BY m.account_id, m.mandate_id
LIMIT :batch::int;

-- name: debits_to_reread(unchanged_since, batch)
-- Debits under way, or that the bank asks for again by itself, of which we have heard nothing for too long.
SELECT *
FROM debit
WHERE (
        state IN ('accepted', 'cancel_requested', 'submitted', 'confirmed')
        OR (state = 'failed' AND reason = 'bank_retries')
    )
    AND bank_payment_id IS NOT NULL AND changed_at <= :unchanged_since
ORDER BY changed_at, account_id, bill_no
LIMIT :batch::int;

-- name: account_currency(account_id)$
-- The currency in which an account is billed.
SELECT currency FROM account WHERE account_id = :account_id;

-- name: usable_mandate(account_id)^
-- Lock the one mandate of an account that is usable or on its way to be.
SELECT *
FROM mandate
WHERE account_id = :account_id AND state IN ('invited', 'pending', 'active')
    AND enrolment NOT IN ('cancelled', 'waiting')
FOR UPDATE;

-- name: lock_mandate(account_id, mandate_id)^
-- Lock a mandate, waiting for whoever holds it.
SELECT * FROM mandate WHERE account_id = :account_id AND mandate_id = :mandate_id FOR UPDATE;

-- name: mandate(account_id, mandate_id)^
-- One mandate, as it stands.
SELECT * FROM mandate WHERE account_id = :account_id AND mandate_id = :mandate_id;

-- name: mandate_by_return(return_digest)^
-- The mandate whose resident comes back from the bank's page with this word.
SELECT * FROM mandate WHERE return_digest = :return_digest;

-- name: mandate_by_bank_id(bank_mandate_id)^
-- The mandate behind a name that the bank uses.
SELECT * FROM mandate WHERE bank_mandate_id = :bank_mandate_id;

-- name: mandate_by_request(bank_request_id)^
-- The mandate that a billing request at the bank was made for.
SELECT * FROM mandate WHERE bank_request_id = :bank_request_id;

-- name: add_mandate(account_id, mandate_id, state, enrolment, payment_minor_max, month_minor_max, currency, return_digest, at)$
-- Keep a new mandate unless the account has a usable one, and say whether it was kept.
INSERT INTO mandate (
    account_id, mandate_id, state, enrolment, payment_minor_max, month_minor_max, currency,
    return_digest, created_at, changed_at
)
VALUES (
    :account_id, :mandate_id, :state, :enrolment, :payment_minor_max, :month_minor_max, :currency,
    :return_digest, :at, :at
)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: save_mandate(account_id, mandate_id, state, enrolment, payment_minor_max, month_minor_max, bank_request_id, bank_flow_id, authorisation_url, return_digest, bank_mandate_id, account_number_ending, at)!
-- Write a locked mandate back.
UPDATE mandate SET
    state = :state, enrolment = :enrolment, payment_minor_max = :payment_minor_max,
    month_minor_max = :month_minor_max, bank_request_id = :bank_request_id,
    bank_flow_id = :bank_flow_id, authorisation_url = :authorisation_url,
    return_digest = :return_digest, bank_mandate_id = :bank_mandate_id,
    account_number_ending = :account_number_ending, changed_at = :at
WHERE account_id = :account_id AND mandate_id = :mandate_id;

-- name: lock_debit(account_id, bill_no, attempt)^
-- Lock one debit.
SELECT * FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt
FOR UPDATE;

-- name: payment_holders(account_ids, bank_payment_ids)
-- Debits that go by one of these names of payments already.
SELECT d.account_id, d.bill_no, d.attempt, d.bank_payment_id
FROM unnest(:account_ids::text[], :bank_payment_ids::text[]) AS w (account_id, bank_payment_id)
JOIN debit d USING (account_id, bank_payment_id);

-- name: debit_by_payment(bank_payment_id)^
-- The debit that a payment at the bank belongs to.
SELECT * FROM debit WHERE bank_payment_id = :bank_payment_id;

-- name: debit_named(account_id, bill_no, attempt)^
-- A debit that is recorded, or that ended before it was: the bank may know it all the same, when an
-- old backup is all that was left. One that may still be recorded hears of it then.
SELECT *
FROM debit
WHERE account_id = :account_id
    AND bill_no = :bill_no
    AND attempt = :attempt
    AND (idempotency_key IS NOT NULL OR state IN ('cancelled', 'exhausted'));

-- name: try_lock_mandates(account_ids, mandate_ids)
-- Lock the mandates that nobody else is at work on.
SELECT m.*
FROM unnest(:account_ids::text[], :mandate_ids::text[]) AS w (account_id, mandate_id)
JOIN mandate m USING (account_id, mandate_id)
FOR UPDATE OF m SKIP LOCKED;

-- name: try_lock_noticed(account_ids, bill_nos, attempts)
-- Lock the debits that are announced and that nobody else is at work on.
SELECT d.*
FROM unnest(:account_ids::text[], :bill_nos::text[], :attempts::integer[])
    AS w (account_id, bill_no, attempt)
JOIN debit d USING (account_id, bill_no, attempt)
WHERE d.state = 'noticed'
FOR UPDATE OF d SKIP LOCKED;

-- name: lock_debits(account_ids, bill_nos, attempts)
-- Lock debits in the order of their names, so that two who lock the same wait for each other in turn.
SELECT d.*
FROM debit d
WHERE (d.account_id, d.bill_no, d.attempt) IN (
    SELECT w.account_id, w.bill_no, w.attempt
    FROM unnest(:account_ids::text[], :bill_nos::text[], :attempts::integer[])
        AS w (account_id, bill_no, attempt)
)
ORDER BY d.account_id, d.bill_no, d.attempt
FOR UPDATE;

-- name: unsent_debits(account_id, mandate_id)
-- Lock the debits of a mandate that the bank has certainly never seen.
SELECT * FROM debit
WHERE account_id = :account_id AND mandate_id = :mandate_id
    AND state IN ('planned', 'held', 'noticed', 'recorded') AND sends = 0
FOR UPDATE;

-- name: accepted_debits(account_id, mandate_id)
-- Lock the debits of a mandate that the bank has accepted and, for all we know, not sent on.
SELECT * FROM debit
WHERE account_id = :account_id AND mandate_id = :mandate_id AND state = 'accepted'
    AND bank_payment_id IS NOT NULL
FOR UPDATE;

-- name: debits_to_close(fallen_before, batch)
-- Debits that failed or were disputed so long ago, and for which nothing came of waiting.
SELECT d.account_id, d.bill_no, d.attempt
FROM debit d
WHERE (d.state IN ('charged_back', 'retry_due') OR (d.state = 'failed' AND d.reason = 'bank_retries'))
    AND (
        SELECT max(s.taken_at) FROM debit_step s
        WHERE (s.account_id, s.bill_no, s.attempt) = (d.account_id, d.bill_no, d.attempt)
    ) <= :fallen_before::timestamptz
ORDER BY d.account_id, d.bill_no, d.attempt
LIMIT :batch::int;

-- name: other_alive(account_id, bill_no, attempt)^
-- Lock another attempt for the same bill that may still take money.
SELECT * FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt <> :attempt
    AND state NOT IN ('failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted')
FOR UPDATE;

-- name: attempts(account_id, bill_no)
-- What became of the attempts for a bill so far.
SELECT attempt, state, reason, retry_on FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no
ORDER BY attempt;

-- name: owed_minor(account_id, bill_no)$
-- What may still be debited for a bill by posted transfers; what was given back is not taken again by itself.
SELECT coalesce(
    sum(CASE WHEN debit_code = 'receivable' THEN amount_minor ELSE -amount_minor END), 0
)::bigint
FROM transfer
WHERE account_id = :account_id AND bill_no = :bill_no AND phase = 'posted'
    AND 'receivable' IN (debit_code, credit_code)
    AND 'refunds_payable' NOT IN (debit_code, credit_code);

-- name: guard_facts(account_ids, bill_nos, attempts, mandate_ids, month_starts, month_ends, states)
-- What the guards look at for debits, kept or only thought of, in their order: what the bill owes, what the
-- resident was told last, whether a person has to look first, whether the resident has stopped it, whether the
-- bill is in dispute, what the account's other bills take in the month, the bill's own month, whether a
-- register in it is an estimate, the most its resident agreed to, and what the account's earlier bills that
-- stand asked for, oldest first.
SELECT owed.minor AS owed_minor, told.amount_minor AS told_minor, told.currency AS told_currency,
    told.charge_on AS told_charge_on, told.noticed_at,
    EXISTS (
        SELECT FROM mandate_freeze z
        WHERE z.account_id = a.account_id AND z.mandate_id = a.mandate_id AND z.lifted_at IS NULL
    ) AS frozen,
    EXISTS (
        SELECT FROM debit_stop s WHERE s.account_id = a.account_id AND s.bill_no = a.bill_no
    ) AS stopped,
    EXISTS (
        SELECT FROM open_dispute q WHERE q.account_id = a.account_id AND q.bill_no = a.bill_no
    ) AS disputed,
    (
        SELECT coalesce(sum(d.amount_minor), 0)::bigint FROM debit d
        WHERE d.account_id = a.account_id AND d.bill_no <> a.bill_no AND d.charge_on < a.month_end
            AND (
                d.state = ANY (:states::text[]) AND d.charge_on >= a.month_start
                OR d.state = 'failed' AND d.reason = 'bank_retries'
            )
    ) AS month_minor,
    b.period_start,
    EXISTS (
        SELECT FROM bill_line l
        WHERE l.account_id = b.account_id AND l.bill_no = b.bill_no
            AND 'estimated' IN (l.opening_quality, l.closing_quality)
    ) AS estimated,
    (
        SELECT max(p.amount_minor) FROM debit_approval p
        WHERE p.account_id = b.account_id AND p.bill_no = b.bill_no
    ) AS approved_minor,
    past.months, past.totals
FROM unnest(
    :account_ids::text[], :bill_nos::text[], :attempts::integer[], :mandate_ids::text[],
    :month_starts::date[], :month_ends::date[]
) WITH ORDINALITY AS a (account_id, bill_no, attempt, mandate_id, month_start, month_end, place)
JOIN bill b USING (account_id, bill_no)
CROSS JOIN LATERAL (
    SELECT coalesce(
        sum(CASE WHEN t.debit_code = 'receivable' THEN t.amount_minor ELSE -t.amount_minor END), 0
    )::bigint AS minor
    FROM transfer t
    WHERE t.account_id = a.account_id AND t.bill_no = a.bill_no AND t.phase = 'posted'
        AND 'receivable' IN (t.debit_code, t.credit_code)
        AND 'refunds_payable' NOT IN (t.debit_code, t.credit_code)
) AS owed
LEFT JOIN LATERAL (
    SELECT n.amount_minor, n.currency, n.charge_on, n.noticed_at FROM notice n
    WHERE n.account_id = a.account_id AND n.bill_no = a.bill_no AND n.attempt = a.attempt
    ORDER BY n.notice_no DESC
    LIMIT 1
) AS told ON true
CROSS JOIN LATERAL (
    SELECT array_agg(p.period_start ORDER BY p.period_start, p.revision) AS months,
        array_agg(p.total_minor ORDER BY p.period_start, p.revision) AS totals
    FROM bill p
    WHERE p.account_id = b.account_id AND p.period_start < b.period_start
        AND p.period_start >= b.period_start - interval '3 years' AND p.kind <> 'cancellation'
        AND NOT EXISTS (
            SELECT FROM bill c
            WHERE c.account_id = p.account_id AND c.corrects_bill_no = p.bill_no
                AND c.kind = 'cancellation'
        )
) AS past
ORDER BY a.place;

-- name: approval(account_id, bill_no, amount_minor)^
-- The word that a sum may be taken for a bill.
SELECT amount_minor, approved_by, approved_at FROM debit_approval
WHERE account_id = :account_id AND bill_no = :bill_no AND amount_minor = :amount_minor;

-- name: add_approval(account_id, bill_no, amount_minor, approved_by, at)!
-- Keep a word that a sum may be taken for a bill.
INSERT INTO debit_approval (account_id, bill_no, amount_minor, approved_by, approved_at)
VALUES (:account_id, :bill_no, :amount_minor, :approved_by, :at);

-- name: lock_alive(account_id, bill_no)^
-- Lock the one attempt for a bill that may still take money.
SELECT * FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no
    AND state NOT IN ('failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted')
FOR UPDATE;

-- name: last_step(account_id, bill_no, attempt)$
-- The number of the last step a debit took.
SELECT max(step_no) FROM debit_step
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: review_words(account_id, bill_no, attempt, step_no)
-- What people said about a debit since a step put it in review, oldest first.
SELECT decision, because, said_by, said_at FROM review_word
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt AND step_no = :step_no
ORDER BY said_at, said_by, decision;

-- name: add_review_word(account_id, bill_no, attempt, step_no, decision, said_by, because, said_at)$
-- Keep a person's word about a debit in review, and say whether it is new.
INSERT INTO review_word (account_id, bill_no, attempt, step_no, decision, said_by, because, said_at)
VALUES (:account_id, :bill_no, :attempt, :step_no, :decision, :said_by, :because, :said_at)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: held_since(account_id, bill_no, attempt)$
-- Since when a debit is held.
SELECT max(taken_at) FROM debit_step
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt AND to_state = 'held';

-- name: add_debit(account_id, bill_no, attempt, mandate_id, state, reason, amount_minor, currency, charge_on, at)^
-- Keep a new attempt with its first step, unless another one for the bill is alive.
WITH born AS (
    INSERT INTO debit (
        account_id, bill_no, attempt, mandate_id, state, reason, amount_minor, currency, charge_on, changed_at
    )
    VALUES (
        :account_id, :bill_no, :attempt, :mandate_id, :state, :reason, :amount_minor, :currency, :charge_on, :at
    )
    ON CONFLICT DO NOTHING
    RETURNING account_id, bill_no, attempt, state, reason, changed_at
)
INSERT INTO debit_step (account_id, bill_no, attempt, step_no, from_state, to_state, reason, taken_at)
SELECT account_id, bill_no, attempt, 1, NULL, state, reason, changed_at FROM born
RETURNING step_no;

-- name: move_debits(account_ids, bill_nos, attempts, from_states, states, reasons, charge_ons, idempotency_keys, bodies, body_digests, bank_payment_ids, leases_until, sends, first_sent_ats, retry_ons, before_chargebacks, before_reviews, ats)
-- Take debits one step on, each from the state we saw it in, and write the steps down.
WITH went AS (
    UPDATE debit d SET
        state = w.state, reason = w.reason, charge_on = w.charge_on,
        idempotency_key = w.idempotency_key, body = w.body, body_digest = w.body_digest,
        bank_payment_id = w.bank_payment_id, lease_until = w.lease_until, sends = w.sends,
        first_sent_at = w.first_sent_at, changed_at = w.at, retry_on = w.retry_on,
        before_chargeback = w.before_chargeback, before_review = w.before_review
    FROM unnest(
        :account_ids::text[], :bill_nos::text[], :attempts::integer[], :from_states::text[],
        :states::text[], :reasons::text[], :charge_ons::date[], :idempotency_keys::text[],
        :bodies::bytea[], :body_digests::bytea[], :bank_payment_ids::text[],
        :leases_until::timestamptz[], :sends::integer[], :first_sent_ats::timestamptz[],
        :retry_ons::date[], :before_chargebacks::text[], :before_reviews::text[], :ats::timestamptz[]
    ) AS w (
        account_id, bill_no, attempt, from_state, state, reason, charge_on, idempotency_key, body,
        body_digest, bank_payment_id, lease_until, sends, first_sent_at, retry_on,
        before_chargeback, before_review, at
    )
    WHERE d.account_id = w.account_id AND d.bill_no = w.bill_no AND d.attempt = w.attempt
        AND d.state = w.from_state
    RETURNING d.account_id, d.bill_no, d.attempt, w.from_state, d.state, d.reason, d.changed_at
)
INSERT INTO debit_step (account_id, bill_no, attempt, step_no, from_state, to_state, reason, taken_at)
SELECT w.account_id, w.bill_no, w.attempt,
    1 + (
        SELECT count(*) FROM debit_step s
        WHERE s.account_id = w.account_id AND s.bill_no = w.bill_no AND s.attempt = w.attempt
    ),
    w.from_state, w.state, w.reason, w.changed_at
FROM went w
RETURNING account_id, bill_no, attempt, step_no;

-- name: touch_debit(account_id, bill_no, attempt, at)!
-- Note that we looked at a debit and found nothing new, so that others have their turn first.
UPDATE debit SET changed_at = :at
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: add_notice(account_id, bill_no, attempt, amount_minor, currency, charge_on, at)!
-- Tell the resident, in a place where he reads it, what will be taken and from which day.
INSERT INTO notice (
    account_id, bill_no, attempt, amount_minor, currency, charge_on, noticed_at, channel, notice_no
)
SELECT :account_id, :bill_no, :attempt::integer, :amount_minor, :currency, :charge_on, :at,
    coalesce((
        SELECT m.channel FROM message m
        WHERE m.account_id = :account_id AND m.kind = 'notice' AND m.delivered_at = :at
            AND starts_with(m.message_id, 'notice/' || :bill_no || '/' || :attempt::integer || '/')
        LIMIT 1
    ), 'api'),
    1 + (
        SELECT count(*) FROM notice
        WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt::integer
    );
