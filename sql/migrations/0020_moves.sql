-- migrate:up

-- The National Bank's base rate from a local day on, as somebody entered it; a later word is another row.
CREATE TABLE base_rate (
    valid_from date        NOT NULL,
    revision   integer     NOT NULL CHECK (revision > 0),
    rate_bp    integer     NOT NULL CHECK (rate_bp BETWEEN 0 AND 10000),
    source     text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    entered_by text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision)
);

-- From a local day on no penalty is charged, or it is again; a later word is another row.
CREATE TABLE moratorium (
    valid_from date        NOT NULL,
    revision   integer     NOT NULL CHECK (revision > 0),
    active     boolean     NOT NULL,
    source     text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    entered_by text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision)
);

-- A bill that its resident disputes from a local day on: it is not asked for, and costs no penalty.
CREATE TABLE bill_dispute (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    from_day   date        NOT NULL,
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    said_by    text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, from_day),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill
);

-- From this local day on the bill is in dispute no more, and what came of it.
CREATE TABLE bill_dispute_end (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    from_day   date        NOT NULL,
    to_day     date        NOT NULL CHECK (to_day > from_day),
    outcome    text        NOT NULL CHECK (length(outcome) BETWEEN 1 AND 500),
    ended_by   text        NOT NULL CHECK (length(ended_by) BETWEEN 1 AND 100),
    ended_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, from_day),
    FOREIGN KEY (account_id, bill_no, from_day) REFERENCES bill_dispute
);

-- The account's resident has moved out: nothing hangs there after this local day, and its last bill is
-- final. "registers" says of each meter what it showed and whether it was read or a person said so.
CREATE TABLE account_closing (
    account_id text        PRIMARY KEY REFERENCES account,
    last_day   date        NOT NULL,
    registers  jsonb       NOT NULL CHECK (jsonb_typeof(registers) = 'array'),
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    closed_by  text        NOT NULL CHECK (length(closed_by) BETWEEN 1 AND 100),
    closed_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT ON
    base_rate, moratorium, bill_dispute, bill_dispute_end,
    account_closing
TO aqkol_service;
