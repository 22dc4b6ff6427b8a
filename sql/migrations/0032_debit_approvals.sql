-- migrate:up

-- The resident's word that an unusual or estimated sum may be taken for a bill, up to what he saw.
CREATE TABLE debit_approval (
    account_id   text        NOT NULL,
    bill_no      text        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    approved_by  text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 100),
    approved_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, amount_minor),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill
);

GRANT SELECT, INSERT ON debit_approval TO aqkol_service;
