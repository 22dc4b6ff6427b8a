-- migrate:up

INSERT INTO ledger_account (code, side) VALUES
    ('fees', 'debit'),
    ('refunds_payable', 'credit'),
    ('chargebacks_receivable', 'debit'),
    ('suspense', 'credit');

-- Money that goes back to the bank account it was taken from. The key and the body are written before
-- the first byte is sent, and are never changed afterwards. The states are drawn in billing/refund.py.
CREATE TABLE refund (
    account_id      text        NOT NULL,
    bill_no         text        NOT NULL,
    attempt         integer     NOT NULL,
    refund_no       integer     NOT NULL CHECK (refund_no BETWEEN 1 AND 99),
    state           text        NOT NULL CHECK (state IN (
        'requested', 'recorded', 'sending', 'unknown', 'pending', 'paid', 'settled', 'bounced',
        'returned', 'refused', 'review'
    )),
    reason          text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    amount_minor    bigint      NOT NULL CHECK (amount_minor > 0),
    currency        text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    cause           text        NOT NULL CHECK (cause IN (
        'cancel_too_late', 'overcharged', 'double_debit', 'wrong_debit', 'operator'
    )),
    -- The account of the ledger that the money was taken from when it was asked for.
    source          text        NOT NULL REFERENCES ledger_account
                                CHECK (source IN ('receivable', 'resident_credit', 'refund_due')),
    asked_by        text        NOT NULL CHECK (length(btrim(asked_by)) BETWEEN 1 AND 100),
    because         text        CHECK (length(btrim(because)) BETWEEN 1 AND 500),
    asked_at        timestamptz NOT NULL,
    -- What was taken, and what was given back or on its way before this one.
    debit_minor     bigint      NOT NULL,
    before_minor    bigint      NOT NULL CHECK (before_minor >= 0),
    counted_minor   bigint      CHECK (counted_minor >= 0),
    idempotency_key text        CHECK (length(idempotency_key) BETWEEN 8 AND 128),
    body            bytea       CHECK (length(body) <= 4096),
    body_digest     bytea       CHECK (length(body_digest) = 32),
    bank_refund_id  text        CHECK (length(bank_refund_id) <= 64),
    lease_until     timestamptz,
    sends           integer     NOT NULL DEFAULT 0 CHECK (sends >= 0),
    first_sent_at   timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, refund_no),
    FOREIGN KEY (account_id, bill_no, attempt) REFERENCES debit,
    CONSTRAINT refund_key_once UNIQUE (account_id, idempotency_key),
    CONSTRAINT bank_refund_once UNIQUE (account_id, bank_refund_id),
    -- Nobody gets more back than was taken.
    CONSTRAINT never_more_than_taken CHECK (before_minor + amount_minor <= debit_minor),
    -- What may have reached the bank has its key and its frozen body.
    CONSTRAINT sent_refund_is_frozen CHECK (
        state IN ('requested', 'refused') OR num_nonnulls(idempotency_key, body, body_digest) = 3
    )
);
-- One refund of a payment at a time is on its way to the bank: each says what goes back in all.
CREATE UNIQUE INDEX refund_one_on_its_way ON refund (account_id, bill_no, attempt)
    WHERE state IN ('recorded', 'sending', 'unknown');
CREATE INDEX refund_state ON refund (state, changed_at);
CREATE INDEX refund_at_bank ON refund (bank_refund_id) WHERE bank_refund_id IS NOT NULL;

-- Every step a refund took, for the resident who asks and the auditor who checks.
CREATE TABLE refund_step (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    attempt    integer     NOT NULL,
    refund_no  integer     NOT NULL,
    step_no    integer     NOT NULL CHECK (step_no > 0),
    from_state text        CHECK (from_state ~ '^[a-z_]{1,40}$'),
    to_state   text        NOT NULL CHECK (to_state ~ '^[a-z_]{1,40}$'),
    reason     text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    taken_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, refund_no, step_no),
    FOREIGN KEY (account_id, bill_no, attempt, refund_no) REFERENCES refund
);

-- The ledger's rows that belong to no resident: what the bank keeps of a payout, and lines of its
-- statement that nobody knows. Like "transfer" they are posted once and never changed.
CREATE TABLE town_transfer (
    transfer_id  text        PRIMARY KEY CHECK (transfer_id ~ '^[A-Za-z0-9_/-]{1,120}$'),
    phase        text        NOT NULL CHECK (phase = 'posted'),
    debit_code   text        NOT NULL REFERENCES ledger_account,
    credit_code  text        NOT NULL REFERENCES ledger_account CHECK (credit_code <> debit_code),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reference    text        NOT NULL CHECK (length(reference) <= 140),
    posted_at    timestamptz NOT NULL
);

GRANT SELECT, INSERT ON refund, refund_step, town_transfer TO aqkol_service;
GRANT UPDATE (
    state, reason, idempotency_key, body, body_digest, bank_refund_id, lease_until, sends,
    first_sent_at, changed_at
) ON refund TO aqkol_service;
