-- migrate:up

-- A register that nobody read, made up for the end of a month so that the month can be billed: how, from
-- what, and how good. A register that was read at that instant always counts instead.
CREATE TABLE estimated_register (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    read_at      timestamptz NOT NULL CHECK (read_at > installed_at),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    turns        integer     NOT NULL CHECK (turns >= 0),
    quality      text        NOT NULL CHECK (quality ~ '^[a-z_]{1,20}$'),
    method       text        NOT NULL CHECK (method ~ '^[a-z_]{1,20}$'),
    why          text        NOT NULL CHECK (why ~ '^[a-z_]{1,40}$'),
    made_at      timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

ALTER TABLE usage_gap
    DROP CONSTRAINT usage_gap_reason_check,
    ADD CONSTRAINT usage_gap_reason_check CHECK (reason IN (
        'no_opening_register', 'no_closing_register', 'held_finding', 'estimated_beyond_cap'
    ));

GRANT SELECT, INSERT ON estimated_register TO aqkol_service;
