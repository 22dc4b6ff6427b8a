-- migrate:up

-- A town's word on one rule of belief, for one type of meter or (empty) for all, from a local day on.
-- A later word is another row, so that every old finding can be explained.
CREATE TABLE rule_override (
    code        text        NOT NULL CHECK (code ~ '^[a-z_]{1,40}$'),
    meter_type  text        NOT NULL CHECK (meter_type ~ '^[a-z0-9_]{0,32}$'),
    valid_from  date        NOT NULL,
    outcome     text        CHECK (outcome IN ('accepted', 'flagged', 'held', 'refused')),
    figures     jsonb       NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    approved_by text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    entered_at  timestamptz NOT NULL,
    PRIMARY KEY (code, meter_type, valid_from)
);

-- How cold a local day was, in tenths of a degree day; a better number is another revision.
CREATE TABLE degree_day (
    day                date        NOT NULL,
    revision           integer     NOT NULL CHECK (revision > 0),
    degree_days_tenths integer     NOT NULL CHECK (degree_days_tenths BETWEEN 0 AND 1000),
    source             text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    noted_at           timestamptz NOT NULL,
    PRIMARY KEY (day, revision)
);

-- A rule's word on one reading: beside it, never in it. The digest of what was found makes a repeat
-- harmless and a changed word another row.
CREATE TABLE reading_finding (
    meter_id text        NOT NULL REFERENCES meter,
    read_at  timestamptz NOT NULL,
    code     text        NOT NULL CHECK (code ~ '^[a-z_]{1,40}$'),
    digest   bytea       NOT NULL CHECK (length(digest) = 32),
    version  text        NOT NULL CHECK (length(version) BETWEEN 1 AND 32),
    outcome  text        NOT NULL CHECK (outcome IN ('accepted', 'flagged', 'held', 'refused')),
    figures  jsonb       NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    found_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at, code, digest)
);

-- A rule's word on a whole period of one installation, likewise.
CREATE TABLE period_finding (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    period_start date        NOT NULL,
    code         text        NOT NULL CHECK (code ~ '^[a-z_]{1,40}$'),
    digest       bytea       NOT NULL CHECK (length(digest) = 32),
    version      text        NOT NULL CHECK (length(version) BETWEEN 1 AND 32),
    outcome      text        NOT NULL CHECK (outcome IN ('accepted', 'flagged', 'held', 'refused')),
    figures      jsonb       NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    found_at     timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, period_start, code, digest),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

GRANT SELECT, INSERT ON rule_override, degree_day, reading_finding, period_finding TO aqkol_service;
