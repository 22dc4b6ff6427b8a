-- migrate:up

-- One person's word about a debit in review, since the step that put it there; the last step is taken
-- when enough different people have said the same.
CREATE TABLE review_word (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    attempt    integer     NOT NULL,
    step_no    integer     NOT NULL,
    decision   text        NOT NULL CHECK (
        decision IN ('release', 'adopt', 'give_up', 'begin_anew')
    ),
    said_by    text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    said_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, step_no, decision, said_by),
    FOREIGN KEY (account_id, bill_no, attempt, step_no) REFERENCES debit_step
);

GRANT SELECT, INSERT ON review_word TO aqkol_service;
