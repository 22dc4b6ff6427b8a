-- migrate:up

-- A debit that is planned and not yet told of, withdrawn at the bank, matched with the bank statement,
-- waiting for another day, or given up.
ALTER TABLE debit
    DROP CONSTRAINT debit_state_check,
    ADD CONSTRAINT debit_state_check CHECK (state IN (
        'planned', 'held', 'noticed', 'recorded', 'sending', 'unknown', 'accepted',
        'cancel_requested', 'submitted', 'confirmed', 'settled', 'reconciled', 'failed',
        'retry_due', 'cancelled', 'charged_back', 'exhausted', 'review'
    )),
    DROP CONSTRAINT sent_is_frozen,
    ADD CONSTRAINT sent_is_frozen CHECK (
        state IN ('planned', 'held', 'noticed', 'cancelled', 'exhausted')
        OR num_nonnulls(idempotency_key, body, body_digest) = 3
    ),
    ADD COLUMN retry_on date,
    ADD COLUMN before_chargeback text CHECK (before_chargeback ~ '^[a-z_]{1,40}$'),
    ADD COLUMN before_review text CHECK (before_review ~ '^[a-z_]{1,40}$'),
    ADD CONSTRAINT retry_has_day CHECK (state <> 'retry_due' OR retry_on IS NOT NULL);

DROP INDEX debit_one_alive;
CREATE UNIQUE INDEX debit_one_alive ON debit (account_id, bill_no)
    WHERE state NOT IN ('failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted');

-- Where the debits that stand before a person or in dispute today came from.
UPDATE debit d SET before_review = s.from_state
FROM debit_step s
WHERE d.state = 'review' AND s.to_state = 'review'
    AND (s.account_id, s.bill_no, s.attempt) = (d.account_id, d.bill_no, d.attempt)
    AND s.step_no = (
        SELECT max(l.step_no) FROM debit_step l
        WHERE (l.account_id, l.bill_no, l.attempt) = (d.account_id, d.bill_no, d.attempt)
    );
UPDATE debit d SET before_chargeback = s.from_state
FROM debit_step s
WHERE d.state = 'charged_back' AND s.to_state = 'charged_back'
    AND (s.account_id, s.bill_no, s.attempt) = (d.account_id, d.bill_no, d.attempt)
    AND s.step_no = (
        SELECT max(l.step_no) FROM debit_step l
        WHERE (l.account_id, l.bill_no, l.attempt) = (d.account_id, d.bill_no, d.attempt)
    );

-- An announcement that changes is a new one; the last counts.
ALTER TABLE notice
    ADD COLUMN notice_no integer NOT NULL DEFAULT 1 CHECK (notice_no > 0),
    DROP CONSTRAINT notice_pkey,
    ADD PRIMARY KEY (account_id, bill_no, attempt, notice_no);

GRANT UPDATE (retry_on, before_chargeback, before_review) ON debit TO aqkol_service;
