-- migrate:up

-- A person's later word on a register that was trusted: what it should have been. The reading, and an
-- earlier decision on it, stay as they were. "fault" says whose it was that the register was wrong.
CREATE TABLE reading_correction (
    meter_id     text        NOT NULL REFERENCES meter,
    read_at      timestamptz NOT NULL,
    revision     integer     NOT NULL CHECK (revision > 0),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    turns        integer     NOT NULL CHECK (turns >= 0),
    fault        text        NOT NULL CHECK (fault IN ('ours', 'resident')),
    decided_by   text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at, revision)
);

-- The registers gas may be measured from: billable readings and what a person decided, each as it was
-- corrected last.
CREATE OR REPLACE VIEW trusted_reading AS
SELECT r.meter_id, r.read_at, r.register_dm3, r.turns
FROM reading r
WHERE r.verdict = 'billable'
  AND NOT EXISTS (
      SELECT FROM reading_correction c WHERE c.meter_id = r.meter_id AND c.read_at = r.read_at
  )
UNION ALL
SELECT d.meter_id, d.read_at, d.register_dm3, d.turns
FROM reading_decision d
WHERE NOT EXISTS (
    SELECT FROM reading_correction c WHERE c.meter_id = d.meter_id AND c.read_at = d.read_at
)
UNION ALL
SELECT c.meter_id, c.read_at, c.register_dm3, c.turns
FROM reading_correction c
WHERE NOT EXISTS (
    SELECT FROM reading_correction l
    WHERE l.meter_id = c.meter_id AND l.read_at = c.read_at AND l.revision > c.revision
);

-- A register that gas may have been measured from was corrected: work to do, not history. The row goes
-- when all bills that quote the register have been looked at.
CREATE TABLE usage_doubt (
    meter_id text        NOT NULL,
    read_at  timestamptz NOT NULL,
    revision integer     NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at, revision),
    FOREIGN KEY (meter_id, read_at, revision) REFERENCES reading_correction
);

-- What was measured anew: all stretches of one installation in one period. Usage stays as it was
-- measured first, which is revision 1; the highest revision holds.
CREATE TABLE usage_revision (
    meter_id             text        NOT NULL,
    from_at              timestamptz NOT NULL,
    revision             integer     NOT NULL CHECK (revision > 1),
    to_at                timestamptz NOT NULL CHECK (to_at > from_at),
    period_start         date        NOT NULL,
    installed_at         timestamptz NOT NULL,
    account_id           text        NOT NULL CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    supply_point_id      text        NOT NULL CHECK (supply_point_id ~ '^[A-Z0-9-]{1,32}$'),
    opening_register_dm3 bigint      NOT NULL CHECK (opening_register_dm3 >= 0),
    opening_turns        integer     NOT NULL CHECK (opening_turns >= 0),
    opening_read_at      timestamptz NOT NULL,
    closing_register_dm3 bigint      NOT NULL CHECK (closing_register_dm3 >= 0),
    closing_turns        integer     NOT NULL CHECK (closing_turns >= 0),
    closing_read_at      timestamptz NOT NULL,
    volume_dm3           bigint      NOT NULL CHECK (volume_dm3 >= 0),
    opening_quality      text        NOT NULL CHECK (opening_quality IN ('read', 'estimated')),
    closing_quality      text        NOT NULL CHECK (closing_quality IN ('read', 'estimated')),
    energy_wh            bigint      CHECK (energy_wh >= 0),
    because              text        NOT NULL CHECK (because IN ('reading', 'estimate', 'energy')),
    made_at              timestamptz NOT NULL,
    PRIMARY KEY (meter_id, from_at, revision),
    FOREIGN KEY (meter_id, from_at) REFERENCES usage
);
CREATE INDEX usage_revision_period ON usage_revision (meter_id, installed_at, period_start, revision);
CREATE INDEX usage_revision_account ON usage_revision (account_id, period_start);
-- Registers that were estimated wait for one that was read.
CREATE INDEX usage_estimated ON usage (period_start, meter_id) WHERE closing_quality = 'estimated';
CREATE INDEX usage_revision_estimated ON usage_revision (period_start, meter_id)
    WHERE closing_quality = 'estimated';

-- The gas that holds now: as measured first where nothing was measured anew.
CREATE VIEW usage_now AS
SELECT u.meter_id, u.from_at, u.to_at, u.period_start, u.installed_at, u.account_id,
       u.supply_point_id, u.opening_register_dm3, u.opening_turns, u.opening_read_at,
       u.closing_register_dm3, u.closing_turns, u.closing_read_at, u.volume_dm3, u.opening_quality,
       u.closing_quality, 1 AS revision, e.energy_wh
FROM usage u
LEFT JOIN usage_energy e ON e.meter_id = u.meter_id AND e.from_at = u.from_at
WHERE NOT EXISTS (
    SELECT FROM usage_revision r WHERE r.meter_id = u.meter_id AND r.from_at = u.from_at
)
UNION ALL
SELECT r.meter_id, r.from_at, r.to_at, r.period_start, r.installed_at, r.account_id,
       r.supply_point_id, r.opening_register_dm3, r.opening_turns, r.opening_read_at,
       r.closing_register_dm3, r.closing_turns, r.closing_read_at, r.volume_dm3, r.opening_quality,
       r.closing_quality, r.revision, r.energy_wh
FROM usage_revision r
WHERE NOT EXISTS (
    SELECT FROM usage_revision l
    WHERE l.meter_id = r.meter_id AND l.from_at = r.from_at AND l.revision > r.revision
);

-- An estimated register that holds, and what was read around it: in the 24 hours up to its instant, last
-- before it, first after it. Each look-up ends at the first row of its index.
CREATE VIEW estimate_sighting AS
SELECT e.account_id, e.meter_id, e.installed_at, e.period_start, e.to_at,
       e.closing_register_dm3 AS register_dm3, e.closing_turns AS turns,
       near.read_at AS near_read_at, near.register_dm3 AS near_dm3, near.turns AS near_turns,
       low.read_at AS low_read_at, low.register_dm3 AS low_dm3, low.turns AS low_turns,
       high.read_at AS high_read_at, high.register_dm3 AS high_dm3, high.turns AS high_turns
FROM (
    SELECT u.account_id, u.meter_id, u.installed_at, u.period_start, u.to_at,
           u.closing_register_dm3, u.closing_turns
    FROM usage u
    WHERE u.closing_quality = 'estimated' AND NOT EXISTS (
        SELECT FROM usage_revision r WHERE r.meter_id = u.meter_id AND r.from_at = u.from_at
    )
    UNION ALL
    SELECT r.account_id, r.meter_id, r.installed_at, r.period_start, r.to_at,
           r.closing_register_dm3, r.closing_turns
    FROM usage_revision r
    WHERE r.closing_quality = 'estimated' AND NOT EXISTS (
        SELECT FROM usage_revision l
        WHERE l.meter_id = r.meter_id AND l.from_at = r.from_at AND l.revision > r.revision
    )
) AS e
JOIN installation i ON i.meter_id = e.meter_id AND i.installed_at = e.installed_at
LEFT JOIN LATERAL (
    SELECT t.read_at, t.register_dm3, t.turns
    FROM (
        (
            SELECT r.read_at, r.register_dm3, r.turns
            FROM reading r
            WHERE r.meter_id = e.meter_id AND r.read_at >= e.installed_at AND r.read_at <= e.to_at
              AND r.verdict = 'billable' AND NOT EXISTS (
                  SELECT FROM reading_correction c
                  WHERE c.meter_id = r.meter_id AND c.read_at = r.read_at
              )
            ORDER BY r.read_at DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT d.read_at, d.register_dm3, d.turns
            FROM reading_decision d
            WHERE d.meter_id = e.meter_id AND d.read_at >= e.installed_at AND d.read_at <= e.to_at
              AND NOT EXISTS (
                  SELECT FROM reading_correction c
                  WHERE c.meter_id = d.meter_id AND c.read_at = d.read_at
              )
            ORDER BY d.read_at DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT c.read_at, c.register_dm3, c.turns
            FROM reading_correction c
            WHERE c.meter_id = e.meter_id AND c.read_at >= e.installed_at AND c.read_at <= e.to_at
            ORDER BY c.read_at DESC, c.revision DESC
            LIMIT 1
        )
    ) AS t
    ORDER BY t.read_at DESC
    LIMIT 1
) AS low ON true
LEFT JOIN LATERAL (
    SELECT low.read_at, low.register_dm3, low.turns
    WHERE low.read_at > e.to_at - interval '24 hours'
) AS near ON true
LEFT JOIN LATERAL (
    SELECT t.read_at, t.register_dm3, t.turns
    FROM (
        (
            SELECT r.read_at, r.register_dm3, r.turns
            FROM reading r
            WHERE r.meter_id = e.meter_id AND r.read_at > e.to_at
              AND r.read_at < coalesce(i.removed_at, 'infinity')
              AND r.verdict = 'billable' AND NOT EXISTS (
                  SELECT FROM reading_correction c
                  WHERE c.meter_id = r.meter_id AND c.read_at = r.read_at
              )
            ORDER BY r.read_at
            LIMIT 1
        )
        UNION ALL
        (
            SELECT d.read_at, d.register_dm3, d.turns
            FROM reading_decision d
            WHERE d.meter_id = e.meter_id AND d.read_at > e.to_at
              AND d.read_at < coalesce(i.removed_at, 'infinity')
              AND NOT EXISTS (
                  SELECT FROM reading_correction c
                  WHERE c.meter_id = d.meter_id AND c.read_at = d.read_at
              )
            ORDER BY d.read_at
            LIMIT 1
        )
        UNION ALL
        (
            SELECT c.read_at, c.register_dm3, c.turns
            FROM reading_correction c
            WHERE c.meter_id = e.meter_id AND c.read_at > e.to_at
              AND c.read_at < coalesce(i.removed_at, 'infinity')
            ORDER BY c.read_at, c.revision DESC
            LIMIT 1
        )
        UNION ALL
        SELECT i.removed_at, i.closing_dm3, i.closing_turns WHERE i.removed_at > e.to_at
    ) AS t
    ORDER BY t.read_at
    LIMIT 1
) AS high ON true
WHERE e.to_at IS DISTINCT FROM i.removed_at;

-- What was said later about an account's terms, by when it was said.
CREATE INDEX account_terms_said ON account_terms (said_at);

-- Money that residents have paid, or were given back, beyond what their bills ask; and that of it which
-- waits to be sent back to them.
INSERT INTO ledger_account (code, side) VALUES
    ('resident_credit', 'credit'),
    ('refund_due', 'credit');
CREATE INDEX transfer_credit ON transfer (account_id)
    WHERE credit_code = 'resident_credit' OR debit_code = 'resident_credit';
CREATE INDEX transfer_refund ON transfer (account_id)
    WHERE credit_code = 'refund_due' OR debit_code = 'refund_due';

-- Where a bill was corrected, by the number of the bill it corrects.
CREATE INDEX bill_corrects ON bill (account_id, corrects_bill_no) WHERE corrects_bill_no IS NOT NULL;

-- That a bill was looked at again, why, and what became of it. "causes" and "difference" are what a
-- person reads: who said what, and which lines are how much more or less.
CREATE TABLE bill_correction (
    account_id         text        NOT NULL,
    period_start       date        NOT NULL,
    correction_no      integer     NOT NULL CHECK (correction_no > 0),
    corrects_bill_no   text        NOT NULL,
    outcome            text        NOT NULL CHECK (
        outcome IN ('unchanged', 'adjustment', 'waived', 'rebill')
    ),
    rebill_no          text,
    volume_dm3         bigint      NOT NULL,
    net_minor          bigint      NOT NULL,
    vat_minor          bigint      NOT NULL,
    causes             jsonb       NOT NULL CHECK (jsonb_typeof(causes) = 'array'),
    difference         jsonb       NOT NULL CHECK (jsonb_typeof(difference) = 'object'),
    made_at            timestamptz NOT NULL,
    PRIMARY KEY (account_id, period_start, correction_no),
    FOREIGN KEY (account_id, corrects_bill_no) REFERENCES bill,
    FOREIGN KEY (account_id, rebill_no) REFERENCES bill,
    CONSTRAINT rebill_is_named CHECK ((outcome = 'rebill') = (rebill_no IS NOT NULL))
);
CREATE INDEX bill_correction_period ON bill_correction (period_start, account_id);

-- What the next bill of an account carries for an earlier one, for each VAT rate apart. Taken onto a
-- bill once (charge "adjustment"), or withdrawn when a new bill takes the place of the earlier one.
CREATE TABLE adjustment (
    account_id    text        NOT NULL,
    period_start  date        NOT NULL,
    correction_no integer     NOT NULL,
    vat_rate_bp   integer     NOT NULL CHECK (vat_rate_bp >= 0),
    volume_dm3    bigint      NOT NULL,
    net_minor     bigint      NOT NULL,
    vat_minor     bigint      NOT NULL,
    made_at       timestamptz NOT NULL,
    PRIMARY KEY (account_id, period_start, correction_no, vat_rate_bp),
    FOREIGN KEY (account_id, period_start, correction_no) REFERENCES bill_correction
);
-- By which bill an adjustment was taken up; a rebill of the same period takes it back instead.
CREATE TABLE adjustment_taken (
    account_id    text    NOT NULL,
    period_start  date    NOT NULL,
    correction_no integer NOT NULL,
    vat_rate_bp   integer NOT NULL,
    bill_no       text    NOT NULL,
    PRIMARY KEY (account_id, period_start, correction_no, vat_rate_bp),
    FOREIGN KEY (account_id, period_start, correction_no, vat_rate_bp) REFERENCES adjustment,
    FOREIGN KEY (account_id, bill_no) REFERENCES bill
);

GRANT SELECT, INSERT ON reading_correction, usage_revision, bill_correction, adjustment,
    adjustment_taken TO aqkol_service;
GRANT SELECT, INSERT, DELETE ON usage_doubt TO aqkol_service;
GRANT SELECT ON usage_now, estimate_sighting TO aqkol_service;
