-- migrate:up

-- What an akimat pays for a resident, what a late payer owes beside his gas, and small sums on their way
-- from one bill to the next.
INSERT INTO ledger_account (code, side) VALUES
    ('voucher', 'debit'),
    ('penalty', 'credit'),
    ('carried', 'debit');

ALTER TABLE bill_charge
    DROP CONSTRAINT bill_charge_kind_check,
    ADD CONSTRAINT bill_charge_kind_check
        CHECK (kind IN ('standing', 'discount', 'adjustment', 'penalty'));

-- Money that an akimat grants a resident for gas, by a document; what is used of it stands in the ledger.
CREATE TABLE voucher (
    account_id   text        NOT NULL REFERENCES account,
    voucher_no   integer     NOT NULL CHECK (voucher_no BETWEEN 1 AND 9999),
    source       text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    amount_minor bigint      NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from   date        NOT NULL,
    valid_to     date        NOT NULL CHECK (valid_to > valid_from),
    entered_by   text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, voucher_no),
    -- A document that is entered twice grants once.
    CONSTRAINT document_grants_once UNIQUE (account_id, source)
);

-- The rest of a voucher was taken back; what was used stays used.
CREATE TABLE voucher_revocation (
    account_id text        NOT NULL,
    voucher_no integer     NOT NULL,
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    revoked_by text        NOT NULL CHECK (length(revoked_by) BETWEEN 1 AND 100),
    revoked_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, voucher_no),
    FOREIGN KEY (account_id, voucher_no) REFERENCES voucher
);

GRANT SELECT, INSERT ON voucher, voucher_revocation TO aqkol_service;
