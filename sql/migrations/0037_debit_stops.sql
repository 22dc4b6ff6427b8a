-- migrate:up

-- A resident's no to one debit: it is taken back or withdrawn, and its bill is not asked for by debit again.
CREATE TABLE debit_stop (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    attempt    integer     NOT NULL,
    stopped_by text        NOT NULL CHECK (length(stopped_by) BETWEEN 1 AND 100),
    stopped_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt),
    FOREIGN KEY (account_id, bill_no, attempt) REFERENCES debit
);

GRANT SELECT, INSERT ON debit_stop TO aqkol_service;
