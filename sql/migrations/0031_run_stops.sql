-- migrate:up

-- The debit run was stopped as a whole: by a rule, with the figures it saw, or by a person, who says why.
CREATE TABLE run_stop (
    stop_no    integer     PRIMARY KEY CHECK (stop_no > 0),
    cause      text        NOT NULL CHECK (
        cause IN ('amounts', 'total', 'failures', 'unknown', 'unreconciled', 'by_hand')
    ),
    facts      jsonb       NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
    stopped_by text        CHECK (length(stopped_by) BETWEEN 1 AND 100),
    because    text        CHECK (length(because) BETWEEN 1 AND 500),
    stopped_at timestamptz NOT NULL,
    CONSTRAINT by_hand_is_signed CHECK (
        (cause = 'by_hand') = (stopped_by IS NOT NULL)
        AND (stopped_by IS NULL) = (because IS NULL)
    )
);

-- Who lets a stopped run go on, and why. It goes on when two people have said so: the second row names the
-- first person, so that the database itself sees that they are two.
CREATE TABLE run_release (
    stop_no     integer     NOT NULL REFERENCES run_stop,
    release_no  integer     NOT NULL CHECK (release_no IN (1, 2)),
    first_no    integer     CHECK (first_no = 1),
    first_by    text,
    released_by text        NOT NULL CHECK (length(released_by) BETWEEN 1 AND 100),
    because     text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    released_at timestamptz NOT NULL,
    PRIMARY KEY (stop_no, release_no),
    UNIQUE (stop_no, release_no, released_by),
    FOREIGN KEY (stop_no, first_no, first_by)
        REFERENCES run_release (stop_no, release_no, released_by),
    CONSTRAINT second_names_the_first CHECK (
        (release_no = 2) = (first_by IS NOT NULL) AND (first_no IS NULL) = (first_by IS NULL)
    ),
    CONSTRAINT nobody_releases_alone CHECK (
        first_by IS NULL OR lower(btrim(released_by)) <> lower(btrim(first_by))
    )
);

-- Stops that keep the run back now.
CREATE VIEW open_run_stop AS
SELECT s.*
FROM run_stop s
WHERE NOT EXISTS (
    SELECT FROM run_release r WHERE r.stop_no = s.stop_no AND r.release_no = 2
);

GRANT SELECT, INSERT ON run_stop, run_release TO aqkol_service;
GRANT SELECT ON open_run_stop TO aqkol_service;
