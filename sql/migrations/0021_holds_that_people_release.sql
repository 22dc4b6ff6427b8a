-- migrate:up

-- From which bill on a person looks at it before it is issued, for bills of months from a day on. A later
-- word on the same day is another revision. Figures are minor units, percent and months.
CREATE TABLE outsorting (
    valid_from   date        NOT NULL,
    revision     integer     NOT NULL CHECK (revision > 0),
    high_percent integer     NOT NULL CHECK (high_percent BETWEEN 100 AND 100000),
    floor_minor  bigint      NOT NULL CHECK (floor_minor >= 0),
    months_back  integer     NOT NULL CHECK (months_back BETWEEN 1 AND 12),
    first_minor  bigint      CHECK (first_minor >= 0),
    approved_by  text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 100),
    entered_at   timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision)
);

ALTER TABLE bill_hold
    DROP CONSTRAINT bill_hold_reason_check,
    ADD CONSTRAINT bill_hold_reason_check CHECK (reason IN (
        'no_opening_register', 'no_closing_register', 'no_price', 'no_energy', 'not_measured',
        'held_finding', 'anomalous', 'disputed', 'estimated_beyond_cap'
    )),
    ADD COLUMN detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object');

-- A person's word that an unusual bill may go out, up to the total that was seen; a higher one waits
-- again.
CREATE TABLE bill_release (
    account_id   text        NOT NULL REFERENCES account,
    period_start date        NOT NULL,
    release_no   integer     NOT NULL CHECK (release_no > 0),
    total_minor  bigint      NOT NULL,
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    released_by  text        NOT NULL CHECK (length(released_by) BETWEEN 1 AND 100),
    released_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, period_start, release_no)
);

-- Somebody questions a month that has no bill yet; it waits until a person has answered.
CREATE TABLE month_question (
    account_id   text        NOT NULL REFERENCES account,
    period_start date        NOT NULL,
    question_no   integer     NOT NULL CHECK (question_no > 0),
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    asked_by    text        NOT NULL CHECK (length(asked_by) BETWEEN 1 AND 100),
    asked_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, period_start, question_no)
);

CREATE TABLE month_answer (
    account_id   text        NOT NULL,
    period_start date        NOT NULL,
    question_no   integer     NOT NULL,
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    answered_by    text        NOT NULL CHECK (length(answered_by) BETWEEN 1 AND 100),
    answered_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, period_start, question_no),
    FOREIGN KEY (account_id, period_start, question_no) REFERENCES month_question
);

CREATE VIEW open_question AS
SELECT d.*
FROM month_question d
WHERE NOT EXISTS (
    SELECT FROM month_answer e
    WHERE e.account_id = d.account_id AND e.period_start = d.period_start
      AND e.question_no = d.question_no
);

GRANT SELECT, INSERT ON outsorting, bill_release, month_question, month_answer TO aqkol_service;
GRANT SELECT ON open_question TO aqkol_service;
GRANT UPDATE (meter_id, detail) ON bill_hold TO aqkol_service;
