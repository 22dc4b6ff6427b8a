-- migrate:up

-- A mandate under which nothing is announced, recorded or sent: the bank knows a payment of it that we do
-- not. A person lifts it.
CREATE TABLE mandate_freeze (
    account_id text        NOT NULL,
    mandate_id text        NOT NULL,
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 200),
    frozen_at  timestamptz NOT NULL,
    lifted_by  text        CHECK (length(lifted_by) BETWEEN 1 AND 100),
    lifted_for text        CHECK (length(lifted_for) BETWEEN 1 AND 500),
    lifted_at  timestamptz CHECK (lifted_at >= frozen_at),
    PRIMARY KEY (account_id, mandate_id, frozen_at),
    FOREIGN KEY (account_id, mandate_id) REFERENCES mandate,
    CONSTRAINT lifted_by_somebody CHECK (num_nonnulls(lifted_by, lifted_for, lifted_at) IN (0, 3))
);
CREATE UNIQUE INDEX mandate_frozen ON mandate_freeze (account_id, mandate_id) WHERE lifted_at IS NULL;

-- A payout as the bank tells it, read again until it has been matched with the statement.
CREATE TABLE bank_payout (
    payout_id    text        PRIMARY KEY CHECK (length(payout_id) <= 64),
    status       text        NOT NULL CHECK (status ~ '^[a-z_]{1,40}$'),
    amount_minor bigint      NOT NULL,
    fees_minor   bigint      NOT NULL,
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reference    text        NOT NULL CHECK (length(reference) BETWEEN 1 AND 140),
    arrival_on   date,
    created_at   timestamptz NOT NULL,
    read_at      timestamptz NOT NULL,
    matched_at   timestamptz
);
CREATE INDEX bank_payout_reference ON bank_payout (reference);

-- What a payout is made of, in tenths of a minor unit, as the bank tells it today.
CREATE TABLE bank_payout_item (
    payout_id     text    NOT NULL CHECK (length(payout_id) <= 64),
    item_no       integer NOT NULL CHECK (item_no > 0),
    kind          text    NOT NULL CHECK (length(kind) <= 64),
    amount_tenths bigint  NOT NULL,
    payment_id    text    CHECK (length(payment_id) <= 64),
    refund_id     text    CHECK (length(refund_id) <= 64),
    PRIMARY KEY (payout_id, item_no)
);
CREATE INDEX bank_payout_item_payment ON bank_payout_item (payment_id);

-- One movement of the town's account, as a statement of its bank says it; what went out is negative. A
-- second entry of the same name on the same day is its second copy. "known_as" says what it turned out to be.
CREATE TABLE statement_line (
    line_id          text        PRIMARY KEY CHECK (line_id ~ '^[0-9a-f]{32}$'),
    iban_ending      text        NOT NULL CHECK (length(iban_ending) BETWEEN 1 AND 4),
    statement_id     text        NOT NULL CHECK (length(statement_id) <= 35),
    entry_ref        text        NOT NULL CHECK (length(entry_ref) <= 80),
    copy             integer     NOT NULL CHECK (copy > 0),
    booked_on        date        NOT NULL,
    amount_minor     bigint      NOT NULL CHECK (amount_minor <> 0),
    currency         text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    end_to_end_id    text        CHECK (length(end_to_end_id) <= 140),
    payout_reference text        CHECK (length(payout_reference) <= 140),
    status           text        NOT NULL CHECK (length(status) <= 40),
    text             text        NOT NULL CHECK (length(text) <= 500),
    reason           text        CHECK (length(reason) <= 40),
    imported_at      timestamptz NOT NULL,
    known_as         text        CHECK (length(known_as) <= 100)
);
CREATE INDEX statement_line_reference ON statement_line (payout_reference);
CREATE INDEX statement_line_unknown ON statement_line (booked_on) WHERE known_as IS NULL;

-- A local day: whether its statement has come, whether the bank's books have been read since it ended, and
-- since when all three sides agree about it.
CREATE TABLE recon_day (
    day           date        PRIMARY KEY,
    statement_id  text        CHECK (length(statement_id) <= 35),
    opening_minor bigint,
    closing_minor bigint,
    statement_at  timestamptz,
    read_at       timestamptz,
    agreed_at     timestamptz
);

-- What the three sides do not agree about. It is closed by itself when they do (closed_by is empty), or by
-- a person, and then not asked again as long as it stays what it was.
CREATE TABLE recon_break (
    break_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text        NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    subject          text        NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    account_id       text        CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    amount_minor     bigint,
    currency         text        CHECK (currency ~ '^[A-Z]{3}$'),
    detail           text        NOT NULL CHECK (length(detail) <= 500),
    suggested_action text        NOT NULL CHECK (length(suggested_action) <= 500),
    owner            text        NOT NULL CHECK (length(owner) BETWEEN 1 AND 100),
    day              date        NOT NULL,
    opened_at        timestamptz NOT NULL,
    seen_at          timestamptz NOT NULL,
    closed_at        timestamptz,
    closed_by        text        CHECK (length(closed_by) BETWEEN 1 AND 100),
    because          text        CHECK (length(because) BETWEEN 1 AND 500),
    CONSTRAINT closed_for_a_reason CHECK ((closed_at IS NULL) = (because IS NULL)),
    CONSTRAINT closed_by_when_closed CHECK (closed_by IS NULL OR closed_at IS NOT NULL)
);
-- The same break is one row, however often it is seen.
CREATE UNIQUE INDEX recon_break_open ON recon_break (kind, subject) WHERE closed_at IS NULL;
CREATE INDEX recon_break_subject ON recon_break (kind, subject);

GRANT SELECT, INSERT ON mandate_freeze, bank_payout, bank_payout_item, statement_line, recon_day, recon_break
TO aqkol_service;
GRANT UPDATE (lifted_by, lifted_for, lifted_at) ON mandate_freeze TO aqkol_service;
GRANT UPDATE (status, amount_minor, fees_minor, reference, arrival_on, read_at, matched_at) ON bank_payout
TO aqkol_service;
GRANT DELETE ON bank_payout_item TO aqkol_service;
GRANT UPDATE (known_as) ON statement_line TO aqkol_service;
GRANT UPDATE (statement_id, opening_minor, closing_minor, statement_at, read_at, agreed_at) ON recon_day
TO aqkol_service;
GRANT UPDATE (
    account_id, amount_minor, currency, detail, day, seen_at, closed_at, closed_by, because
) ON recon_break TO aqkol_service;
