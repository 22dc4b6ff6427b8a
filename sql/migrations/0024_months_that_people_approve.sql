-- migrate:up

-- How a month came to its bills: its figures were drafted, a person approved them, it was issued, and
-- issued again for stragglers. Without a step it is still being collected.
CREATE TABLE month_step (
    period_start date        NOT NULL,
    step_no      integer     NOT NULL CHECK (step_no > 0),
    state        text        NOT NULL
        CHECK (state IN ('drafted', 'approved', 'issued', 'reopened')),
    bills        bigint      NOT NULL CHECK (bills >= 0),
    total_minor  bigint      NOT NULL,
    said_by      text        CHECK (length(said_by) BETWEEN 1 AND 100),
    because      text        CHECK (length(because) BETWEEN 1 AND 500),
    at           timestamptz NOT NULL,
    PRIMARY KEY (period_start, step_no),
    -- A machine drafts and issues; only a person approves, and says who that is.
    CONSTRAINT approved_by_a_person CHECK (
        (state = 'approved') = (said_by IS NOT NULL AND because IS NOT NULL)
    )
);

GRANT SELECT, INSERT ON month_step TO aqkol_service;
