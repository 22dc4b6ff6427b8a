-- The database as it stands today. Read this first; sql/migrations/ says how it came to be,
-- and tests/sql proves that the two agree.
--
-- Rules the whole file keeps (docs/decisions/0003, tests/sql/test_shardable.py):
--   two groups of tables, one keyed by meter_id, one by account_id; every key contains its group's
--   column; foreign keys stay inside a group or point at a reference table; no triggers.
--   Volume is whole dm3 (litres), money whole minor units (tiyn) beside its currency.
--   Facts are inserted and never changed; the service's role has no right to change them.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Reference tables: small, the same on every node -------------------------------------------------

-- A price of gas from one local midnight to another, net of VAT, and all that goes with it. The unit
-- keeps five decimals of tenge per m3 as a whole number: 6404.90 tenge per 1000 m3 is 640490. A norm
-- counts dm3 in a month (Wh, where the price is per energy).
CREATE TABLE tariff (
    tariff_code           text   NOT NULL CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    valid_from            date   NOT NULL,
    valid_to              date   CHECK (valid_to > valid_from),
    net_minor_per_1000_m3 bigint CHECK (net_minor_per_1000_m3 BETWEEN 0 AND 1000000000),
    currency              text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    approved_by           text   NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    net_minor_per_gwh     bigint CHECK (net_minor_per_gwh BETWEEN 0 AND 1000000000000),
    rounding              text   NOT NULL DEFAULT 'half_up'
        CHECK (rounding IN ('half_up', 'half_even', 'down')),
    norm_per              text   NOT NULL DEFAULT 'household'
        CHECK (norm_per IN ('household', 'person')),
    heating_months        smallint[] NOT NULL DEFAULT '{}'
        CHECK (1 <= ALL (heating_months) AND 12 >= ALL (heating_months)),
    standing_net_minor_per_1000_days bigint NOT NULL DEFAULT 0
        CHECK (standing_net_minor_per_1000_days BETWEEN 0 AND 1000000000000),
    standing_net_minor_per_month bigint NOT NULL DEFAULT 0
        CHECK (standing_net_minor_per_month BETWEEN 0 AND 1000000000),
    discount_bp           integer NOT NULL DEFAULT 0 CHECK (discount_bp BETWEEN 0 AND 10000),
    discount_norm         bigint CHECK (discount_norm BETWEEN 1 AND 1000000000000),
    discount_norm_heating bigint CHECK (discount_norm_heating BETWEEN 1 AND 1000000000000),
    PRIMARY KEY (tariff_code, valid_from),
    -- Two prices for one day would make a bill depend on luck.
    CONSTRAINT tariff_overlaps EXCLUDE USING gist (
        tariff_code WITH =, daterange(valid_from, valid_to) WITH &&
    ),
    CONSTRAINT tariff_has_one_price
        CHECK (num_nonnulls(net_minor_per_1000_m3, net_minor_per_gwh) = 1)
);

-- The bands of a tariff, by what a household or person uses in a month: dm3, or Wh where the price is
-- per energy. The last band has no end. A tariff without bands has one price for all gas.
CREATE TABLE tariff_band (
    tariff_code   text    NOT NULL,
    valid_from    date    NOT NULL,
    band_no       integer NOT NULL CHECK (band_no BETWEEN 1 AND 20),
    up_to         bigint  CHECK (up_to BETWEEN 1 AND 1000000000000),
    up_to_heating bigint  CHECK (up_to_heating BETWEEN 1 AND 1000000000000),
    multiplier_bp integer NOT NULL DEFAULT 10000 CHECK (multiplier_bp BETWEEN 0 AND 1000000),
    net_minor     bigint  CHECK (net_minor BETWEEN 0 AND 1000000000000),
    PRIMARY KEY (tariff_code, valid_from, band_no),
    FOREIGN KEY (tariff_code, valid_from) REFERENCES tariff,
    CONSTRAINT band_is_price_or_multiplier CHECK (net_minor IS NULL OR multiplier_bp = 10000),
    CONSTRAINT band_ends_in_both_seasons CHECK (up_to IS NOT NULL OR up_to_heating IS NULL)
);

-- VAT in basis points from this local midnight until the next row.
CREATE TABLE vat_rate (
    valid_from date    PRIMARY KEY,
    rate_bp    integer NOT NULL CHECK (rate_bp BETWEEN 0 AND 10000),
    source     text    NOT NULL CHECK (length(source) BETWEEN 1 AND 200)
);

INSERT INTO vat_rate (valid_from, rate_bp, source) VALUES
    ('2009-01-01', 1200, 'Kazakhstan, rate in force until 2025-12-31'),
    ('2026-01-01', 1600, 'Kazakhstan, Tax Code No. 214-VIII of 2025-07-18');

-- A change of a price, of its end or of the VAT, as one person proposes it; it counts from "first_day".
CREATE TABLE price_proposal (
    proposal_no integer     PRIMARY KEY CHECK (proposal_no > 0),
    kind        text        NOT NULL CHECK (kind IN ('tariff', 'end', 'vat_rate')),
    tariff_code text        CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    first_day   date        NOT NULL,
    content     jsonb       NOT NULL CHECK (jsonb_typeof(content) = 'object'),
    source      text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    -- Entered with both names at once, on the machine itself, for days that had no price.
    set_up      boolean     NOT NULL,
    proposed_by text        NOT NULL CHECK (length(proposed_by) BETWEEN 1 AND 100),
    proposed_at timestamptz NOT NULL,
    UNIQUE (proposal_no, proposed_by),
    CONSTRAINT vat_has_no_tariff CHECK ((kind = 'vat_rate') = (tariff_code IS NULL))
);

-- What became of a proposal, once. The first key lets one of two decisions through.
CREATE TABLE price_decision (
    proposal_no integer     PRIMARY KEY,
    proposed_by text        NOT NULL CHECK (length(proposed_by) BETWEEN 1 AND 100),
    outcome     text        NOT NULL CHECK (outcome IN ('approved', 'refused', 'withdrawn')),
    because     text        CHECK (length(because) BETWEEN 1 AND 500),
    decided_by  text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    decided_at  timestamptz NOT NULL,
    FOREIGN KEY (proposal_no, proposed_by) REFERENCES price_proposal (proposal_no, proposed_by),
    -- Nobody slips in a price alone.
    CONSTRAINT second_person_approves CHECK (
        outcome <> 'approved' OR lower(btrim(decided_by)) <> lower(btrim(proposed_by))
    ),
    CONSTRAINT refusal_has_a_reason CHECK ((outcome = 'approved') = (because IS NULL))
);

-- The chart of accounts. "side" is where a normal balance of the account stands.
CREATE TABLE ledger_account (
    code text PRIMARY KEY CHECK (code ~ '^[a-z_]{1,40}$'),
    side text NOT NULL CHECK (side IN ('debit', 'credit'))
);

INSERT INTO ledger_account (code, side) VALUES
    ('receivable', 'debit'),
    ('revenue', 'credit'),
    ('vat', 'credit'),
    ('collections_in_transit', 'debit'),
    ('bank', 'debit'),
    ('voucher', 'debit'),
    ('penalty', 'credit'),
    ('carried', 'debit'),
    -- Money of residents beyond what their bills ask, and what of it waits to be sent back.
    ('resident_credit', 'credit'),
    ('refund_due', 'credit'),
    ('fees', 'debit'),
    ('refunds_payable', 'credit'),
    ('chargebacks_receivable', 'debit'),
    ('suspense', 'credit');

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
    -- The midnight with which that day began: ingest knows instants, and a zone may change its mind.
    from_at     timestamptz NOT NULL,
    PRIMARY KEY (code, meter_type, valid_from),
    CONSTRAINT override_day_is_local CHECK (
        abs(extract(epoch FROM from_at) - extract(epoch FROM valid_from)) <= 14 * 3600
    )
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

-- The town's word on one firmware (its SHA-256) of one type of meter: approved, or not any more. A later
-- word is another revision, so that every old case can be explained.
CREATE TABLE firmware_word (
    meter_type      text        NOT NULL CHECK (meter_type ~ '^[a-z0-9_]{1,32}$'),
    firmware_digest bytea       NOT NULL CHECK (length(firmware_digest) = 32),
    revision        integer     NOT NULL CHECK (revision > 0),
    approved        boolean     NOT NULL,
    because         text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    said_by         text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at         timestamptz NOT NULL,
    PRIMARY KEY (meter_type, firmware_digest, revision)
);

-- When the rules went over a month, and what they found; a month may be gone over many times.
CREATE TABLE validation (
    period_start  date        NOT NULL,
    validated_at  timestamptz NOT NULL,
    installations bigint      NOT NULL CHECK (installations >= 0),
    flagged       bigint      NOT NULL CHECK (flagged >= 0),
    held          bigint      NOT NULL CHECK (held >= 0),
    refused       bigint      NOT NULL CHECK (refused >= 0),
    written       bigint      NOT NULL CHECK (written >= 0),
    PRIMARY KEY (period_start, validated_at)
);

-- Coefficients that bring gas to standard conditions, from the first day of a month on, as approved:
-- twelve months for each place where a meter is as cold as the weather. A later word is another row.
CREATE TABLE coefficient_table (
    valid_from  date        NOT NULL CHECK (extract(day FROM valid_from) = 1),
    revision    integer     NOT NULL CHECK (revision > 0),
    version     text        NOT NULL UNIQUE CHECK (length(version) BETWEEN 1 AND 64),
    denominator integer     NOT NULL CHECK (denominator = 10000),
    unheated    integer[]   NOT NULL,
    outdoor     integer[]   NOT NULL,
    approved_by text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    entered_at  timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision),
    CONSTRAINT coefficients_are_twelve CHECK (
        cardinality(unheated) = 12 AND array_position(unheated, NULL) IS NULL
        AND cardinality(outdoor) = 12 AND array_position(outdoor, NULL) IS NULL
    ),
    -- 0.8 to 1.4: no climate asks for more.
    CONSTRAINT coefficients_are_weather CHECK (
        8000 <= ALL (unheated) AND 14000 >= ALL (unheated)
        AND 8000 <= ALL (outdoor) AND 14000 >= ALL (outdoor)
    )
);

-- What a rule of energy must know about a calorific zone, from the first day of a month on.
CREATE TABLE zone_figures (
    zone        text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    rule        text        NOT NULL CHECK (rule IN ('it', 'de')),
    valid_from  date        NOT NULL CHECK (extract(day FROM valid_from) = 1),
    revision    integer     NOT NULL CHECK (revision > 0),
    figures     jsonb       NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    approved_by text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    entered_at  timestamptz NOT NULL,
    PRIMARY KEY (zone, rule, valid_from, revision)
);

-- How much heat a cubic metre of a zone's gas gave on a day or in a month, in hundred thousandths of the
-- unit; a better number is another revision. The limits keep MJ and kWh apart.
CREATE TABLE calorific_value (
    zone                text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    unit                text        NOT NULL CHECK (unit IN ('mj_m3', 'kwh_m3')),
    span                text        NOT NULL CHECK (span IN ('day', 'month')),
    start_on            date        NOT NULL,
    revision            integer     NOT NULL CHECK (revision > 0),
    hundred_thousandths integer     NOT NULL,
    source              text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    noted_at            timestamptz NOT NULL,
    PRIMARY KEY (zone, unit, span, start_on, revision),
    CONSTRAINT month_starts_with_its_first CHECK (
        span = 'day' OR extract(day FROM start_on) = 1
    ),
    CONSTRAINT heat_is_that_of_natural_gas CHECK (
        (unit = 'mj_m3' AND hundred_thousandths BETWEEN 2500000 AND 5500000)
        OR (unit = 'kwh_m3' AND hundred_thousandths BETWEEN 690000 AND 1530000)
    )
);

-- The National Bank's base rate from a local day on, as somebody entered it; a later word is another row.
CREATE TABLE base_rate (
    valid_from date        NOT NULL,
    revision   integer     NOT NULL CHECK (revision > 0),
    rate_bp    integer     NOT NULL CHECK (rate_bp BETWEEN 0 AND 10000),
    source     text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    entered_by text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision)
);

-- From a local day on no penalty is charged, or it is again; a later word is another row.
CREATE TABLE moratorium (
    valid_from date        NOT NULL,
    revision   integer     NOT NULL CHECK (revision > 0),
    active     boolean     NOT NULL,
    source     text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    entered_by text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision)
);

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

-- Group meter_id ----------------------------------------------------------------------------------

-- A gas meter: what its dial can show and how fast gas can pass.
CREATE TABLE meter (
    meter_id      text        PRIMARY KEY CHECK (meter_id ~ '^[A-Z0-9-]{1,32}$'),
    dial_dm3      bigint      NOT NULL CHECK (dial_dm3 BETWEEN 1000 AND 1000000000000000),
    step_dm3      bigint      NOT NULL CHECK (step_dm3 BETWEEN 1 AND 1000000 AND step_dm3 < dial_dm3),
    qmax_dm3_h    bigint      NOT NULL CHECK (qmax_dm3_h BETWEEN 1 AND 1000000000),
    compensated   boolean     NOT NULL,
    registered_at timestamptz NOT NULL,
    -- What a meter may do: a pending one is not believed yet, a frozen one not any more.
    state         text        NOT NULL DEFAULT 'active' CHECK (
        state IN ('pending', 'active', 'frozen', 'removed')
    ),
    -- Its make, by which the rules of validation are chosen.
    meter_type    text        NOT NULL DEFAULT 'diaphragm' CHECK (meter_type ~ '^[a-z0-9_]{1,32}$')
);

-- Which meter hung where, from when to when. account_id is an attribute here, not a key.
CREATE TABLE installation (
    meter_id        text        NOT NULL REFERENCES meter,
    installed_at    timestamptz NOT NULL,
    account_id      text        NOT NULL CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    supply_point_id text        NOT NULL CHECK (supply_point_id ~ '^[A-Z0-9-]{1,32}$'),
    opening_dm3     bigint      NOT NULL CHECK (opening_dm3 >= 0),
    removed_at      timestamptz CHECK (removed_at > installed_at),
    closing_dm3     bigint      CHECK (closing_dm3 >= 0),
    closing_turns   integer     CHECK (closing_turns >= 0),
    PRIMARY KEY (meter_id, installed_at),
    -- A removal carries its register, or none of the three is set.
    CONSTRAINT removal_is_whole CHECK (
        num_nonnulls(removed_at, closing_dm3, closing_turns) IN (0, 3)
    ),
    -- One meter hangs in one place at a time. The condition always holds: it only keeps this slow
    -- index from being chosen for plain look-ups, where the primary key is twenty times as fast.
    CONSTRAINT installation_overlaps EXCLUDE USING gist (
        meter_id WITH =, tstzrange(installed_at, removed_at) WITH &&
    ) WHERE (length(meter_id) > 0)
);
CREATE INDEX installation_account ON installation (account_id);

-- One message of a meter that we took. The key makes a repeat harmless; the digest tells a repeat
-- from a second story under the same counter. Counters belong to a key: key_epoch is that of the
-- signing key, 0 for what came unsigned, -1 for an adapter's and -2 for an upload. The bytes of a
-- signed one are kept: whoever doubts a bill can check the signature again.
CREATE TABLE telegram (
    meter_id    text        NOT NULL CHECK (length(meter_id) <= 32),
    counter     bigint      NOT NULL,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    received_at timestamptz NOT NULL,
    readings    integer     NOT NULL CHECK (readings > 0),
    flags       text[]      NOT NULL CHECK (cardinality(flags) <= 16),
    trust       text        NOT NULL CHECK (trust IN ('unsigned', 'signed', 'adapted', 'uploaded')),
    key_epoch   integer     NOT NULL DEFAULT 0,
    evidence    bytea       CHECK (length(evidence) <= 65536),
    PRIMARY KEY (meter_id, key_epoch, counter),
    -- Those of adapted telegrams are made by us and carry bits of the digest (metering/adapter.py);
    -- JSON holds whole numbers below 2^53 exactly.
    CONSTRAINT counter_fits CHECK (
        counter BETWEEN 0 AND CASE key_epoch WHEN -1 THEN 9007199254740991 ELSE 4294967295 END
    ),
    CONSTRAINT trust_has_its_epoch CHECK (
        key_epoch = CASE trust
            WHEN 'unsigned' THEN 0 WHEN 'adapted' THEN -1 WHEN 'uploaded' THEN -2
            ELSE greatest(key_epoch, 1)
        END
    ),
    CONSTRAINT signed_has_evidence CHECK ((trust = 'signed') = (evidence IS NOT NULL))
);

-- The register of a meter at an instant, as it came, with the first verdict. "turns" counts how
-- often the dial has passed zero since the installation, so turns * dial_dm3 + register_dm3 only
-- grows. A suspect reading has no place on that line and therefore no turns.
CREATE TABLE reading (
    meter_id     text        NOT NULL CHECK (length(meter_id) <= 32),
    read_at      timestamptz NOT NULL,
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    turns        integer     CHECK (turns >= 0),
    verdict      text        NOT NULL CHECK (verdict IN ('billable', 'suspect')),
    reason       text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    counter      bigint      NOT NULL,
    received_at  timestamptz NOT NULL,
    key_epoch    integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (meter_id, read_at),
    CONSTRAINT verdict_is_whole CHECK (
        (verdict = 'billable' AND turns IS NOT NULL AND reason IS NULL)
        OR (verdict = 'suspect' AND turns IS NULL AND reason IS NOT NULL)
    )
) PARTITION BY RANGE (read_at);
-- What waits for a person, the newest first; the believed ones need no place in it.
CREATE INDEX reading_held ON reading (read_at DESC, meter_id DESC) WHERE verdict = 'suspect';
CREATE INDEX reading_held_meter ON reading (meter_id, read_at) WHERE verdict = 'suspect';

-- Open the monthly partition that holds an instant. It runs with its owner's rights, because the
-- service may not create tables; it creates nothing else.
CREATE FUNCTION open_reading_month(instant timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month_start timestamptz := date_trunc('month', instant, 'UTC');
    month_end   timestamptz := date_trunc('month', month_start + interval '35 days', 'UTC');
    part        text := 'reading_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    IF instant < '2000-01-01Z' OR instant >= '2100-01-01Z' THEN
        RAISE EXCEPTION 'no partition outside 2000-2099' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('open_reading_month'));
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF reading FOR VALUES FROM (%L) TO (%L)',
                       part, month_start, month_end);
    END IF;
END
$$;

-- What we refused, and why. Kept once per sender and content; "times" counts the repeats, and only
-- the first 4096 bytes are kept, so nobody can fill the disk with one idea.
CREATE TABLE refused_telegram (
    sender            text        NOT NULL CHECK (length(sender) <= 64),
    digest            bytea       NOT NULL CHECK (length(digest) = 32),
    reason            text        NOT NULL CHECK (reason ~ '^[a-z_]{1,40}$'),
    detail            text        NOT NULL CHECK (length(detail) <= 500),
    topic             text        NOT NULL CHECK (length(topic) <= 256),
    payload           bytea       NOT NULL CHECK (length(payload) <= 4096),
    size_bytes        bigint      NOT NULL CHECK (size_bytes >= 0),
    times             bigint      NOT NULL CHECK (times > 0),
    first_received_at timestamptz NOT NULL,
    last_received_at  timestamptz NOT NULL,
    PRIMARY KEY (sender, digest, reason)
);
CREATE INDEX refused_telegram_newest ON refused_telegram (last_received_at DESC);

-- Gas used by one installation in one part of a billing period, from register to register. Written
-- once by the run; the closing register of one part is the opening register of the next.
CREATE TABLE usage (
    meter_id             text        NOT NULL,
    from_at              timestamptz NOT NULL,
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
    opening_quality      text        NOT NULL DEFAULT 'read'
        CHECK (opening_quality IN ('read', 'estimated')),
    closing_quality      text        NOT NULL DEFAULT 'read'
        CHECK (closing_quality IN ('read', 'estimated')),
    PRIMARY KEY (meter_id, from_at),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);
CREATE INDEX usage_account ON usage (account_id, period_start);

-- Why an installation could not be measured in a period. Work to do, not history: the row goes when
-- the usage is there.
CREATE TABLE usage_gap (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    period_start date        NOT NULL,
    account_id   text        NOT NULL CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    reason       text        NOT NULL CHECK (reason IN (
        'no_opening_register', 'no_closing_register', 'held_finding', 'estimated_beyond_cap'
    )),
    noted_at     timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, period_start),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);
CREATE INDEX usage_gap_account ON usage_gap (account_id, period_start);

-- A key of a meter, by epoch. Only the newest may sign; the one before it stays good until
-- valid_until, so that a rotation costs no telegram. A frozen or revoked key signs nothing.
CREATE TABLE device_key (
    meter_id    text        NOT NULL REFERENCES meter,
    key_epoch   integer     NOT NULL CHECK (key_epoch > 0),
    algorithm   text        NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key  bytea       NOT NULL CHECK (
        length(public_key) = CASE algorithm WHEN 'EdDSA' THEN 32 ELSE 65 END
    ),
    kid         bytea       NOT NULL CHECK (length(kid) = 8),
    origin      text        NOT NULL CHECK (
        origin IN ('device', 'imported', 'rotation', 'vouched')
    ),
    added_at    timestamptz NOT NULL,
    valid_until timestamptz,
    frozen_at   timestamptz,
    revoked_at  timestamptz,
    PRIMARY KEY (meter_id, key_epoch),
    -- The same key under two epochs would make an old telegram look new.
    CONSTRAINT device_key_once UNIQUE (meter_id, kid)
);
-- A key that some meter has or had is nobody else's.
CREATE INDEX device_key_kid ON device_key (kid);

-- The code on a meter's label, kept as a digest: good once, for five tries.
CREATE TABLE meter_claim (
    meter_id     text        PRIMARY KEY REFERENCES meter,
    claim_digest bytea       NOT NULL CHECK (length(claim_digest) = 32),
    tries_left   integer     NOT NULL CHECK (tries_left BETWEEN 0 AND 5),
    issued_at    timestamptz NOT NULL,
    claimed_at   timestamptz
);

-- Who saw which start register. Installer and resident both say it, each with a digest of a photo.
CREATE TABLE start_register (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    witness      text        NOT NULL CHECK (witness IN ('installer', 'resident')),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    photo_digest bytea       NOT NULL CHECK (length(photo_digest) = 32),
    confirmed_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, witness),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

-- Something about a meter that a person must look at. It never changes a bill by itself.
CREATE TABLE meter_case (
    meter_id  text        NOT NULL REFERENCES meter,
    case_id   uuid        NOT NULL DEFAULT gen_random_uuid(),
    kind      text        NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    detail    text        NOT NULL CHECK (length(detail) <= 500),
    evidence  bytea       CHECK (length(evidence) <= 65536),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text        CHECK (length(closed_by) BETWEEN 1 AND 100),
    outcome   text        CHECK (length(outcome) BETWEEN 1 AND 500),
    PRIMARY KEY (meter_id, case_id),
    CONSTRAINT closing_is_whole CHECK (num_nonnulls(closed_at, closed_by, outcome) IN (0, 3))
);
-- One open case of a kind: a meter that goes on lying is one question, not a thousand.
CREATE UNIQUE INDEX meter_case_open ON meter_case (meter_id, kind) WHERE closed_at IS NULL;
CREATE INDEX meter_case_newest ON meter_case (opened_at DESC);

-- What a signing meter may forget: its highest stored counter and, bit by bit, the 1024 up to it.
-- Derived from telegram, kept because a receipt needs it at once.
CREATE TABLE replay_window (
    meter_id   text        NOT NULL REFERENCES meter,
    key_epoch  integer     NOT NULL CHECK (key_epoch > 0),
    high_water bigint      NOT NULL CHECK (high_water >= 0),
    seen       bytea       NOT NULL CHECK (length(seen) = 128),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, key_epoch)
);

-- A person's word on a suspect reading: take it as it is, or take this register instead. The
-- reading itself stays as it came.
CREATE TABLE reading_decision (
    meter_id     text        NOT NULL REFERENCES meter,
    read_at      timestamptz NOT NULL,
    decision     text        NOT NULL CHECK (decision IN ('accept', 'replace')),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    turns        integer     NOT NULL CHECK (turns >= 0),
    decided_by   text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at)
);

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
CREATE VIEW trusted_reading AS
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

-- Days for which a meter is known to be silent (taken to the workshop, a house shut down), so that
-- nobody looks for their readings.
CREATE TABLE declared_gap (
    meter_id    text        NOT NULL REFERENCES meter,
    from_day    date        NOT NULL,
    to_day      date        NOT NULL CHECK (to_day > from_day),
    because     text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    declared_by text        NOT NULL CHECK (length(declared_by) BETWEEN 1 AND 100),
    declared_at timestamptz NOT NULL,
    -- The days of a gap that was withdrawn can be declared again, so it has a name of its own.
    gap_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    reason      text        NOT NULL DEFAULT 'other' CHECK (
        reason IN ('workshop', 'shut_off', 'no_network', 'no_power', 'other')
    ),
    PRIMARY KEY (meter_id, gap_id)
);
CREATE INDEX declared_gap_days ON declared_gap (meter_id, from_day);

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

-- What other makers' hardware says on a topic about a device is what this meter's dial shows. Who
-- changes a source removes it and enters another, so that every reading can be explained.
CREATE TABLE source (
    meter_id        text        NOT NULL REFERENCES meter,
    source_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    family          text        NOT NULL CHECK (family ~ '^[a-z0-9_]{1,32}$'),
    topic           text        NOT NULL CHECK (length(topic) BETWEEN 1 AND 256),
    device          text        NOT NULL CHECK (length(device) <= 128),
    dm3_numerator   bigint      NOT NULL CHECK (dm3_numerator BETWEEN 1 AND 1000000000000),
    dm3_denominator bigint      NOT NULL CHECK (dm3_denominator BETWEEN 1 AND 1000000),
    offset_dm3      bigint      NOT NULL
        CHECK (offset_dm3 BETWEEN -1000000000000000 AND 1000000000000000),
    unit            text        NOT NULL CHECK (unit ~ '^[a-z0-9]{1,16}$'),
    zone            text        NOT NULL CHECK (length(zone) BETWEEN 1 AND 64),
    every_s         integer     NOT NULL CHECK (every_s BETWEEN 1 AND 2678400),
    entered_by      text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at      timestamptz NOT NULL,
    removed_by      text        CHECK (length(removed_by) BETWEEN 1 AND 100),
    removed_at     timestamptz,
    PRIMARY KEY (meter_id, source_id),
    CONSTRAINT topic_is_a_filter CHECK (
        topic ~ '^(\+|#|[^+#/]*)(/(\+|[^+#/]*))*(/#)?$' AND topic !~ '^#.' AND topic !~ '[[:cntrl:]]'
    ),
    -- Our own meters, the doctor's corner and the broker itself are never a stranger's.
    CONSTRAINT topic_is_not_ours CHECK (
        topic !~ '^(\$|#|(\+|gas)/(#|(\+|v1)(/|$))|(\+|aqkol)/(#|(\+|doctor)(/|$)))'
    ),
    -- Otherwise whatever any device says there would be this one meter's.
    CONSTRAINT wildcard_names_a_device CHECK (device <> '' OR topic !~ '[+#]'),
    CONSTRAINT removal_is_whole CHECK (num_nonnulls(removed_at, removed_by) IN (0, 2))
);
-- One device is one meter's; across meters whoever enters one looks, holding a lock.
CREATE UNIQUE INDEX source_live ON source (meter_id, topic, device) WHERE removed_at IS NULL;

-- A gap that was declared by mistake, or ended otherwise: it explains no day any more, and stays.
CREATE TABLE gap_withdrawal (
    meter_id     text        NOT NULL,
    gap_id       uuid        NOT NULL,
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    withdrawn_by text        NOT NULL CHECK (length(withdrawn_by) BETWEEN 1 AND 100),
    withdrawn_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, gap_id),
    FOREIGN KEY (meter_id, gap_id) REFERENCES declared_gap
);

-- What was done to a device, by whom and why; two things can happen at one instant, so the order is
-- that of writing. NULL is nobody at a desk.
CREATE TABLE device_event (
    meter_id    text        NOT NULL REFERENCES meter,
    event_no    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    event       text        NOT NULL CHECK (event IN (
        'provisioned', 'claimed', 'claim_refused', 'code_reissued', 'activated', 'frozen', 'thawed',
        'removed', 'key_rotated', 'key_revoked', 'key_vouched'
    )),
    detail      text        NOT NULL CHECK (length(detail) <= 500),
    done_by     text        CHECK (length(done_by) BETWEEN 1 AND 100),
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, event_no)
);

-- A person's word on a finding: it has been looked at and may stand. The finding, and the reading or
-- period it is about, stay as they were. A digest names one finding of its meter.
CREATE TABLE finding_decision (
    meter_id   text        NOT NULL REFERENCES meter,
    digest     bytea       NOT NULL CHECK (length(digest) = 32),
    decided_by text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, digest)
);
-- Findings as operators read them, the newest first.
CREATE INDEX reading_finding_newest ON reading_finding (found_at DESC, meter_id DESC, digest DESC);
CREATE INDEX period_finding_newest ON period_finding (found_at DESC, meter_id DESC, digest DESC);

-- Readings and periods that wait for a person: a held finding that nobody let stand. A decision on a
-- reading is a word on all that was found about it.
CREATE VIEW held_reading AS
SELECT f.meter_id, f.read_at
FROM reading_finding f
WHERE f.outcome = 'held'
  AND NOT EXISTS (
      SELECT FROM finding_decision d WHERE d.meter_id = f.meter_id AND d.digest = f.digest
  )
  AND NOT EXISTS (
      SELECT FROM reading_decision d WHERE d.meter_id = f.meter_id AND d.read_at = f.read_at
  );
CREATE VIEW held_period AS
SELECT f.meter_id, f.installed_at, f.period_start
FROM period_finding f
WHERE f.outcome = 'held'
  AND NOT EXISTS (
      SELECT FROM finding_decision d WHERE d.meter_id = f.meter_id AND d.digest = f.digest
  );

-- A person's word that a meter goes on at another level: one installation ended with its last trusted
-- register, the next began with the first of the readings that agreed. What went through in between
-- nobody knows, and nobody is billed for it.
CREATE TABLE rebaseline (
    meter_id              text        NOT NULL,
    installed_at          timestamptz NOT NULL,
    previous_installed_at timestamptz NOT NULL CHECK (previous_installed_at < installed_at),
    before_read_at        timestamptz NOT NULL CHECK (before_read_at < installed_at),
    before_dm3            bigint      NOT NULL CHECK (before_dm3 >= 0),
    first_dm3             bigint      NOT NULL CHECK (first_dm3 >= 0),
    last_dm3              bigint      NOT NULL CHECK (last_dm3 >= first_dm3),
    readings              integer     NOT NULL CHECK (readings > 0),
    rule_version          text        NOT NULL CHECK (length(rule_version) BETWEEN 1 AND 32),
    decided_by            text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because               text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at            timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation,
    FOREIGN KEY (meter_id, previous_installed_at) REFERENCES installation
);

-- Where a meter hangs during a stay, from a local day on: how cold it gets there, and in which calorific
-- zone that is. A later word is another row.
CREATE TABLE stay_place (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    valid_from   date        NOT NULL,
    revision     integer     NOT NULL CHECK (revision > 0),
    place        text        NOT NULL CHECK (place IN ('heated', 'unheated', 'outdoor')),
    zone         text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    said_by      text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at      timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, valid_from, revision),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

-- The energy of measured gas, where a tariff asks for it.
CREATE TABLE usage_energy (
    meter_id     text        NOT NULL,
    from_at      timestamptz NOT NULL,
    standard_dm3 bigint      CHECK (standard_dm3 >= 0),
    energy_wh    bigint      NOT NULL CHECK (energy_wh >= 0),
    rule         text        NOT NULL CHECK (rule IN ('uk', 'de')),
    steps        jsonb       NOT NULL CHECK (jsonb_typeof(steps) = 'object'),
    made_at      timestamptz NOT NULL,
    PRIMARY KEY (meter_id, from_at),
    FOREIGN KEY (meter_id, from_at) REFERENCES usage
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

-- Group account_id --------------------------------------------------------------------------------

-- A personal account: who owes, without saying who that is.
CREATE TABLE account (
    account_id  text        PRIMARY KEY CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    tariff_code text        NOT NULL CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    currency    text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    opened_at   timestamptz NOT NULL
);

-- Personal data stands here and in contact, nowhere else; everything else knows the account_id only.
CREATE TABLE person (
    account_id text PRIMARY KEY REFERENCES account,
    full_name  text NOT NULL CHECK (length(full_name) BETWEEN 1 AND 200),
    address    text NOT NULL CHECK (length(address) BETWEEN 1 AND 500)
);

-- Where gas enters a home. Its meters are installations of the meter group.
CREATE TABLE supply_point (
    account_id      text        NOT NULL REFERENCES account,
    supply_point_id text        NOT NULL CHECK (supply_point_id ~ '^[A-Z0-9-]{1,32}$'),
    connected_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, supply_point_id)
);

-- What holds for an account from a local day on; a later word is another revision of that day. Before
-- the first: the tariff the account was opened with, one person, no discount.
CREATE TABLE account_terms (
    account_id  text        NOT NULL REFERENCES account,
    valid_from  date        NOT NULL,
    revision    integer     NOT NULL CHECK (revision > 0),
    tariff_code text        NOT NULL CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    persons     integer     NOT NULL CHECK (persons BETWEEN 1 AND 100),
    social      boolean     NOT NULL,
    said_by     text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at     timestamptz NOT NULL,
    PRIMARY KEY (account_id, valid_from, revision)
);
CREATE INDEX account_terms_said ON account_terms (said_at);

-- A bill, once issued, is never changed; a correction is another revision: the cancellation of a bill,
-- with every sign turned, or what takes its place.
CREATE TABLE bill (
    account_id   text        NOT NULL REFERENCES account,
    bill_no      text        NOT NULL CHECK (bill_no ~ '^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?$'),
    period_start date        NOT NULL,
    period_end   date        NOT NULL CHECK (period_end > period_start),
    revision     integer     NOT NULL CHECK (revision > 0),
    volume_dm3   bigint      NOT NULL,
    net_minor    bigint      NOT NULL,
    vat_minor    bigint      NOT NULL,
    total_minor  bigint      NOT NULL,
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    issued_at    timestamptz NOT NULL,
    due_on       date        NOT NULL,
    kind         text        NOT NULL DEFAULT 'bill'
        CHECK (kind IN ('bill', 'cancellation', 'rebill')),
    corrects_bill_no text
        CHECK (corrects_bill_no ~ '^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?$'),
    PRIMARY KEY (account_id, bill_no),
    -- One bill per account, period and revision, whatever runs twice.
    CONSTRAINT bill_once UNIQUE (account_id, period_start, revision),
    CONSTRAINT bill_adds_up CHECK (total_minor = net_minor + vat_minor),
    CONSTRAINT correction_names_its_bill
        CHECK ((kind = 'bill') = (corrects_bill_no IS NULL)),
    CONSTRAINT bill_of_gas CHECK (kind = 'cancellation' OR volume_dm3 >= 0)
);
CREATE INDEX bill_period ON bill (period_start, account_id);
-- Where a bill was corrected, by the number of the bill it corrects.
CREATE INDEX bill_corrects ON bill (account_id, corrects_bill_no) WHERE corrects_bill_no IS NOT NULL;

-- One line: one part of a stretch of gas, one price, one VAT rate, one band. Registers are those of the
-- whole stretch; where the line is a part, "days" of "days_of" days say which share of the gas it is.
CREATE TABLE bill_line (
    account_id            text        NOT NULL,
    bill_no               text        NOT NULL,
    line_no               integer     NOT NULL CHECK (line_no > 0),
    meter_id              text        NOT NULL CHECK (meter_id ~ '^[A-Z0-9-]{1,32}$'),
    supply_point_id       text        NOT NULL CHECK (supply_point_id ~ '^[A-Z0-9-]{1,32}$'),
    from_at               timestamptz NOT NULL,
    to_at                 timestamptz NOT NULL CHECK (to_at > from_at),
    opening_register_dm3  bigint      NOT NULL CHECK (opening_register_dm3 >= 0),
    opening_read_at       timestamptz NOT NULL,
    closing_register_dm3  bigint      NOT NULL CHECK (closing_register_dm3 >= 0),
    closing_read_at       timestamptz NOT NULL,
    volume_dm3            bigint      NOT NULL,
    tariff_code           text        NOT NULL,
    tariff_valid_from     date        NOT NULL,
    net_minor_per_1000_m3 bigint      CHECK (net_minor_per_1000_m3 >= 0),
    vat_rate_bp           integer     NOT NULL CHECK (vat_rate_bp >= 0),
    net_minor             bigint      NOT NULL,
    vat_minor             bigint      NOT NULL,
    band_no               integer     NOT NULL DEFAULT 1 CHECK (band_no > 0),
    multiplier_bp         integer     NOT NULL DEFAULT 10000 CHECK (multiplier_bp >= 0),
    energy_wh             bigint,
    net_minor_per_gwh     bigint      CHECK (net_minor_per_gwh >= 0),
    days                  integer     NOT NULL DEFAULT 1 CHECK (days > 0),
    days_of               integer     NOT NULL DEFAULT 1 CHECK (days_of > 0),
    opening_quality       text        NOT NULL DEFAULT 'read'
        CHECK (opening_quality IN ('read', 'estimated')),
    closing_quality       text        NOT NULL DEFAULT 'read'
        CHECK (closing_quality IN ('read', 'estimated')),
    PRIMARY KEY (account_id, bill_no, line_no),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill,
    FOREIGN KEY (tariff_code, tariff_valid_from) REFERENCES tariff,
    CONSTRAINT line_is_part_of_stretch CHECK (days <= days_of),
    CONSTRAINT line_has_one_price
        CHECK (num_nonnulls(net_minor_per_1000_m3, net_minor_per_gwh) = 1),
    CONSTRAINT line_has_its_energy
        CHECK ((energy_wh IS NULL) = (net_minor_per_gwh IS NULL))
);

-- What a bill asks for besides gas. "quantity" counts days of a standing charge, or the dm3 (Wh) that a
-- discount is for, whose gas is line_no.
CREATE TABLE bill_charge (
    account_id        text    NOT NULL,
    bill_no           text    NOT NULL,
    charge_no         integer NOT NULL CHECK (charge_no > 0),
    kind              text    NOT NULL
        CHECK (kind IN ('standing', 'discount', 'adjustment', 'penalty')),
    from_day          date    NOT NULL,
    to_day            date    NOT NULL CHECK (to_day > from_day),
    tariff_code       text,
    tariff_valid_from date,
    line_no           integer CHECK (line_no > 0),
    quantity          bigint,
    detail            jsonb   NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    vat_rate_bp       integer NOT NULL CHECK (vat_rate_bp >= 0),
    net_minor         bigint  NOT NULL,
    vat_minor         bigint  NOT NULL,
    PRIMARY KEY (account_id, bill_no, charge_no),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill,
    FOREIGN KEY (tariff_code, tariff_valid_from) REFERENCES tariff
);

-- A bill that could not be issued, and why: a question for a person, gone when it is answered.
CREATE TABLE bill_hold (
    account_id   text        NOT NULL REFERENCES account,
    period_start date        NOT NULL,
    reason       text        NOT NULL CHECK (reason IN (
        'no_opening_register', 'no_closing_register', 'no_price', 'no_energy', 'not_measured',
        'held_finding', 'anomalous', 'disputed', 'estimated_beyond_cap'
    )),
    meter_id     text        NOT NULL CHECK (meter_id ~ '^[A-Z0-9-]{1,32}$'),
    noted_at     timestamptz NOT NULL,
    -- What a person must see to decide: figures, by name.
    detail       jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    PRIMARY KEY (account_id, period_start)
);

-- A resident's permission to debit, as the bank sees it (state) and as the resident wants it
-- (enrolment), which is stricter and always wins. Of the bank account we keep four characters.
CREATE TABLE mandate (
    account_id            text        NOT NULL REFERENCES account,
    mandate_id            text        NOT NULL CHECK (mandate_id ~ '^M-[A-Z0-9]{1,40}$'),
    state                 text        NOT NULL CHECK (state IN (
        'invited', 'pending', 'active', 'cancelled', 'failed', 'expired'
    )),
    enrolment             text        NOT NULL CHECK (
        enrolment IN ('active', 'paused', 'waiting', 'cancelled')
    ),
    payment_minor_max     bigint      NOT NULL CHECK (payment_minor_max > 0),
    month_minor_max       bigint      NOT NULL CHECK (month_minor_max >= payment_minor_max),
    currency              text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    bank_request_id       text        CHECK (length(bank_request_id) <= 64),
    bank_flow_id          text        CHECK (length(bank_flow_id) <= 64),
    authorisation_url     text        CHECK (length(authorisation_url) <= 1000),
    return_digest         bytea       NOT NULL CHECK (length(return_digest) = 32),
    bank_mandate_id       text        CHECK (length(bank_mandate_id) <= 64),
    account_number_ending text        CHECK (length(account_number_ending) <= 4),
    created_at            timestamptz NOT NULL,
    changed_at            timestamptz NOT NULL,
    PRIMARY KEY (account_id, mandate_id),
    CONSTRAINT active_has_bank_id CHECK (state <> 'active' OR bank_mandate_id IS NOT NULL)
);
-- At most one mandate per account can be debited.
CREATE UNIQUE INDEX mandate_usable ON mandate (account_id)
    WHERE state IN ('invited', 'pending', 'active') AND enrolment NOT IN ('cancelled', 'waiting');
-- At most one waits to take its place.
CREATE UNIQUE INDEX mandate_waiting ON mandate (account_id)
    WHERE state IN ('invited', 'pending', 'active') AND enrolment = 'waiting';
CREATE INDEX mandate_bank_id ON mandate (bank_mandate_id);
CREATE INDEX mandate_request ON mandate (bank_request_id);
CREATE INDEX mandate_return ON mandate (return_digest);

-- One attempt to be paid for one bill. The key and the body are written before the first byte is
-- sent, and are never changed afterwards. The states are drawn in billing/debit.py.
CREATE TABLE debit (
    account_id      text        NOT NULL,
    bill_no         text        NOT NULL,
    attempt         integer     NOT NULL CHECK (attempt BETWEEN 1 AND 99),
    mandate_id      text        NOT NULL,
    state           text        NOT NULL CHECK (state IN (
        'planned', 'held', 'noticed', 'recorded', 'sending', 'unknown', 'accepted',
        'cancel_requested', 'submitted', 'confirmed', 'settled', 'reconciled', 'failed',
        'retry_due', 'cancelled', 'charged_back', 'exhausted', 'review'
    )),
    reason          text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    amount_minor    bigint      NOT NULL CHECK (amount_minor > 0),
    currency        text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    charge_on       date        NOT NULL,
    idempotency_key text        CHECK (length(idempotency_key) BETWEEN 8 AND 128),
    body            bytea       CHECK (length(body) <= 4096),
    body_digest     bytea       CHECK (length(body_digest) = 32),
    bank_payment_id text        CHECK (length(bank_payment_id) <= 64),
    lease_until     timestamptz,
    sends           integer     NOT NULL DEFAULT 0 CHECK (sends >= 0),
    first_sent_at   timestamptz,
    changed_at      timestamptz NOT NULL,
    -- From this day on a debit that failed may be announced anew.
    retry_on        date,
    -- Where a chargeback, or a question for a person, found the debit.
    before_chargeback text CHECK (before_chargeback ~ '^[a-z_]{1,40}$'),
    before_review   text        CHECK (before_review ~ '^[a-z_]{1,40}$'),
    PRIMARY KEY (account_id, bill_no, attempt),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill,
    FOREIGN KEY (account_id, mandate_id) REFERENCES mandate,
    CONSTRAINT key_once UNIQUE (account_id, idempotency_key),
    CONSTRAINT payment_once UNIQUE (account_id, bank_payment_id),
    -- What may have reached the bank has its key and its frozen body.
    CONSTRAINT sent_is_frozen CHECK (
        state IN ('planned', 'held', 'noticed', 'cancelled', 'exhausted')
        OR num_nonnulls(idempotency_key, body, body_digest) = 3
    ),
    -- What waits for another day knows which.
    CONSTRAINT retry_has_day CHECK (state <> 'retry_due' OR retry_on IS NOT NULL)
);
-- One attempt at a time may still take money for a bill.
CREATE UNIQUE INDEX debit_one_alive ON debit (account_id, bill_no)
    WHERE state NOT IN ('failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted');
CREATE INDEX debit_state ON debit (state, charge_on);
CREATE INDEX debit_payment ON debit (bank_payment_id);

-- Every step a debit took, for the resident who asks and the auditor who checks.
CREATE TABLE debit_step (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    attempt    integer     NOT NULL,
    step_no    integer     NOT NULL CHECK (step_no > 0),
    from_state text CHECK (from_state ~ '^[a-z_]{1,40}$'),
    to_state   text        NOT NULL CHECK (to_state ~ '^[a-z_]{1,40}$'),
    reason     text CHECK (reason ~ '^[a-z_]{1,40}$'),
    taken_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, step_no),
    FOREIGN KEY (account_id, bill_no, attempt) REFERENCES debit
);

-- The resident was told: this amount, from that day. No debit without one.
CREATE TABLE notice (
    account_id   text        NOT NULL,
    bill_no      text        NOT NULL,
    attempt      integer     NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    charge_on    date        NOT NULL,
    noticed_at   timestamptz NOT NULL,
    channel      text        NOT NULL CHECK (channel IN ('api', 'mail')),
    -- The last one counts; each is a promise of its own.
    notice_no    integer     NOT NULL DEFAULT 1 CHECK (notice_no > 0),
    PRIMARY KEY (account_id, bill_no, attempt, notice_no),
    FOREIGN KEY (account_id, bill_no, attempt) REFERENCES debit
);

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

-- The ledger. One row moves one amount from one account to another, so money never appears and
-- never vanishes, whatever the code above it believes. "pending" rows do not count in a balance;
-- each is later answered by one "posted" or one "void" row.
CREATE TABLE transfer (
    -- The bill's own account; its key says that there is one (docs/decisions/0012).
    account_id   text        NOT NULL,
    transfer_id  text        NOT NULL CHECK (transfer_id ~ '^[a-z0-9_/-]{1,80}$'),
    phase        text        NOT NULL CHECK (phase IN ('posted', 'pending', 'void')),
    debit_code   text        NOT NULL REFERENCES ledger_account,
    credit_code  text        NOT NULL REFERENCES ledger_account CHECK (credit_code <> debit_code),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    bill_no      text        NOT NULL,
    posted_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, transfer_id),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill
);
CREATE INDEX transfer_bill ON transfer (account_id, bill_no);
CREATE INDEX transfer_credit ON transfer (account_id)
    WHERE credit_code = 'resident_credit' OR debit_code = 'resident_credit';
CREATE INDEX transfer_refund ON transfer (account_id)
    WHERE credit_code = 'refund_due' OR debit_code = 'refund_due';
CREATE INDEX transfer_disputed ON transfer (account_id, bill_no)
    WHERE credit_code = 'chargebacks_receivable' OR debit_code = 'chargebacks_receivable';

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

-- A bill that its resident disputes from a local day on: it is not asked for, and costs no penalty.
CREATE TABLE bill_dispute (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    from_day   date        NOT NULL,
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    said_by    text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, from_day),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill
);

-- From this local day on the bill is in dispute no more, and what came of it.
CREATE TABLE bill_dispute_end (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    from_day   date        NOT NULL,
    to_day     date        NOT NULL CHECK (to_day > from_day),
    outcome    text        NOT NULL CHECK (length(outcome) BETWEEN 1 AND 500),
    ended_by   text        NOT NULL CHECK (length(ended_by) BETWEEN 1 AND 100),
    ended_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, from_day),
    FOREIGN KEY (account_id, bill_no, from_day) REFERENCES bill_dispute
);

-- Bills in dispute now.
CREATE VIEW open_dispute AS
SELECT q.*
FROM bill_dispute q
WHERE NOT EXISTS (
    SELECT FROM bill_dispute_end e
    WHERE e.account_id = q.account_id AND e.bill_no = q.bill_no AND e.from_day = q.from_day
);

-- The account's resident has moved out: nothing hangs there after this local day, and its last bill is
-- final. "registers" says of each meter what it showed and whether it was read or a person said so.
CREATE TABLE account_closing (
    account_id text        PRIMARY KEY REFERENCES account,
    last_day   date        NOT NULL,
    registers  jsonb       NOT NULL CHECK (jsonb_typeof(registers) = 'array'),
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    closed_by  text        NOT NULL CHECK (length(closed_by) BETWEEN 1 AND 100),
    closed_at  timestamptz NOT NULL
);

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

-- Money that goes back to the bank account it was taken from. The key and the body are written before
-- the first byte is sent, and are never changed afterwards. The states are drawn in billing/refund.py.
CREATE TABLE refund (
    account_id      text        NOT NULL,
    bill_no         text        NOT NULL,
    attempt         integer     NOT NULL,
    refund_no       integer     NOT NULL CHECK (refund_no BETWEEN 1 AND 99),
    state           text        NOT NULL CHECK (state IN (
        'requested', 'recorded', 'sending', 'unknown', 'pending', 'paid', 'settled', 'bounced',
        'returned', 'refused', 'review'
    )),
    reason          text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    amount_minor    bigint      NOT NULL CHECK (amount_minor > 0),
    currency        text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    cause           text        NOT NULL CHECK (cause IN (
        'cancel_too_late', 'overcharged', 'double_debit', 'wrong_debit', 'operator'
    )),
    -- The account of the ledger that the money was taken from when it was asked for; what came for an
    -- attempt that was given up stands on no bill and goes straight back.
    source          text        NOT NULL REFERENCES ledger_account CHECK (
        source IN ('receivable', 'resident_credit', 'refund_due', 'bank')
    ),
    asked_by        text        NOT NULL CHECK (length(btrim(asked_by)) BETWEEN 1 AND 100),
    because         text        CHECK (length(btrim(because)) BETWEEN 1 AND 500),
    asked_at        timestamptz NOT NULL,
    -- What was taken, and what was given back or on its way before this one.
    debit_minor     bigint      NOT NULL,
    before_minor    bigint      NOT NULL CHECK (before_minor >= 0),
    counted_minor   bigint      CHECK (counted_minor >= 0),
    idempotency_key text        CHECK (length(idempotency_key) BETWEEN 8 AND 128),
    body            bytea       CHECK (length(body) <= 4096),
    body_digest     bytea       CHECK (length(body_digest) = 32),
    bank_refund_id  text        CHECK (length(bank_refund_id) <= 64),
    lease_until     timestamptz,
    sends           integer     NOT NULL DEFAULT 0 CHECK (sends >= 0),
    first_sent_at   timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, refund_no),
    FOREIGN KEY (account_id, bill_no, attempt) REFERENCES debit,
    CONSTRAINT refund_key_once UNIQUE (account_id, idempotency_key),
    CONSTRAINT bank_refund_once UNIQUE (account_id, bank_refund_id),
    -- Nobody gets more back than was taken.
    CONSTRAINT never_more_than_taken CHECK (before_minor + amount_minor <= debit_minor),
    -- What may have reached the bank has its key and its frozen body.
    CONSTRAINT sent_refund_is_frozen CHECK (
        state IN ('requested', 'refused') OR num_nonnulls(idempotency_key, body, body_digest) = 3
    )
);
-- One refund of a payment at a time is on its way to the bank: each says what goes back in all.
CREATE UNIQUE INDEX refund_one_on_its_way ON refund (account_id, bill_no, attempt)
    WHERE state IN ('recorded', 'sending', 'unknown');
CREATE INDEX refund_state ON refund (state, changed_at);
CREATE INDEX refund_at_bank ON refund (bank_refund_id) WHERE bank_refund_id IS NOT NULL;

-- Every step a refund took, for the resident who asks and the auditor who checks.
CREATE TABLE refund_step (
    account_id text        NOT NULL,
    bill_no    text        NOT NULL,
    attempt    integer     NOT NULL,
    refund_no  integer     NOT NULL,
    step_no    integer     NOT NULL CHECK (step_no > 0),
    from_state text        CHECK (from_state ~ '^[a-z_]{1,40}$'),
    to_state   text        NOT NULL CHECK (to_state ~ '^[a-z_]{1,40}$'),
    reason     text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    taken_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, bill_no, attempt, refund_no, step_no),
    FOREIGN KEY (account_id, bill_no, attempt, refund_no) REFERENCES refund
);
-- A mandate under which nothing is announced, recorded or sent: the bank knows a payment of it that we do
-- not. A person lifts it.
CREATE TABLE mandate_freeze (
    account_id text        NOT NULL,
    mandate_id text        NOT NULL,
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 200),
    frozen_at  timestamptz NOT NULL,
    lifted_by  text        CHECK (length(lifted_by) BETWEEN 1 AND 100),
    lifted_for text        CHECK (length(lifted_for) BETWEEN 1 AND 500),
    lifted_at  timestamptz CHECK (lifted_at >= frozen_at),
    PRIMARY KEY (account_id, mandate_id, frozen_at),
    FOREIGN KEY (account_id, mandate_id) REFERENCES mandate,
    CONSTRAINT lifted_by_somebody CHECK (num_nonnulls(lifted_by, lifted_for, lifted_at) IN (0, 3))
);
CREATE UNIQUE INDEX mandate_frozen ON mandate_freeze (account_id, mandate_id) WHERE lifted_at IS NULL;
-- Where a resident is written to: one word, until the next one replaces it. Personal data, apart from the
-- rest like the person; everything else knows the account_id and the revision only.
CREATE TABLE contact (
    account_id       text        NOT NULL REFERENCES account,
    revision         integer     NOT NULL CHECK (revision > 0),
    -- NULL: no mail is wanted, or the address was forgotten after a later one replaced it.
    address          text        CHECK (length(address) <= 254 AND address ~ '^[!-?A-~]{1,64}@[A-Za-z0-9.-]{3,189}$'),
    language         text        NOT NULL CHECK (language IN ('kk', 'ru', 'en')),
    quiet_from_minor bigint      CHECK (quiet_from_minor >= 0),
    quiet_to_minor   bigint      CHECK (quiet_to_minor >= quiet_from_minor),
    said_at          timestamptz NOT NULL,
    -- When a later word took its place.
    replaced_at      timestamptz CHECK (replaced_at >= said_at),
    PRIMARY KEY (account_id, revision),
    CONSTRAINT quiet_has_two_ends CHECK ((quiet_from_minor IS NULL) = (quiet_to_minor IS NULL))
);
-- One word holds.
CREATE UNIQUE INDEX contact_now ON contact (account_id) WHERE replaced_at IS NULL;
-- Addresses that are to be forgotten.
CREATE INDEX contact_old ON contact (replaced_at) WHERE address IS NOT NULL AND replaced_at IS NOT NULL;

-- What a resident is told. A row is born with the step that causes it and named after it, so that one
-- cause is one message; it is sent later, and marked, never counted past. "about" holds the facts of the
-- letter and nothing about the person. The states are drawn in billing/message.py.
CREATE TABLE message (
    account_id   text        NOT NULL REFERENCES account,
    message_id   text        NOT NULL CHECK (message_id ~ '^[a-z_]{1,20}(/[0-9A-Za-z-]{1,64}){1,4}$'),
    kind         text        NOT NULL CHECK (kind IN (
        'notice', 'receipt', 'correction', 'hold', 'retry', 'failed', 'refund', 'account_change',
        'contact_change'
    )),
    about        jsonb       NOT NULL CHECK (jsonb_typeof(about) = 'object' AND length(about::text) <= 2000),
    -- The contact it is for; NULL is the one that holds when it is sent.
    to_revision  integer     CHECK (to_revision > 0),
    channel      text        NOT NULL CHECK (channel IN ('api', 'mail')),
    state        text        NOT NULL CHECK (
        state IN ('queued', 'sending', 'sent', 'failed', 'given_up', 'withdrawn')
    ),
    tries        integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- While it is being sent: until when it is somebody's.
    next_try_at  timestamptz NOT NULL,
    queued_at    timestamptz NOT NULL,
    delivered_at timestamptz,
    trouble      text        CHECK (trouble ~ '^[a-z0-9_]{1,40}$'),
    PRIMARY KEY (account_id, message_id),
    FOREIGN KEY (account_id, to_revision) REFERENCES contact,
    -- Delivered is what a relay has taken, or what stands in the API, which is at once.
    CONSTRAINT sent_is_delivered CHECK ((state = 'sent') = (delivered_at IS NOT NULL)),
    CONSTRAINT api_is_at_once CHECK (channel <> 'api' OR state = 'sent')
);
CREATE INDEX message_waiting ON message (next_try_at) WHERE state IN ('queued', 'sending');
CREATE INDEX message_stuck ON message (queued_at, account_id, message_id) WHERE state IN ('failed', 'given_up');

-- A change of the bank account: under the new mandate nothing is debited before "usable_at", nor in the
-- 72 hours after "named_at", when we heard which account it is.
CREATE TABLE account_change (
    account_id text        NOT NULL,
    mandate_id text        NOT NULL,
    begun_at   timestamptz NOT NULL,
    usable_at  timestamptz NOT NULL,
    -- The resident wants debits to rest even then.
    paused     boolean     NOT NULL DEFAULT false,
    ended_at   timestamptz,
    outcome    text        CHECK (outcome IN ('done', 'cancelled')),
    named_at   timestamptz,
    PRIMARY KEY (account_id, mandate_id),
    FOREIGN KEY (account_id, mandate_id) REFERENCES mandate,
    CONSTRAINT change_cools_off CHECK (usable_at >= begun_at + interval '72 hours'),
    CONSTRAINT change_ends_once CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    -- Done is what has cooled off, whatever the code above it believes.
    CONSTRAINT done_has_cooled_off CHECK (
        outcome <> 'done'
        OR ended_at >= usable_at AND ended_at >= coalesce(named_at, begun_at) + interval '72 hours'
    )
);
CREATE INDEX account_change_due ON account_change (usable_at) WHERE ended_at IS NULL;

-- Local tables: on one node only ------------------------------------------------------------------

-- Who may call the API. Only a digest is kept: a stolen copy opens nothing.
CREATE TABLE access_token (
    token_digest bytea       PRIMARY KEY CHECK (length(token_digest) = 32),
    role         text        NOT NULL CHECK (role IN ('resident', 'operator')),
    account_id   text        CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    label        text        NOT NULL CHECK (length(label) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at),
    revoked_at   timestamptz,
    -- A resident's token belongs to one account, an operator's to none.
    CONSTRAINT token_has_owner CHECK ((role = 'resident') = (account_id IS NOT NULL))
);

-- Every event of the bank we have dealt with. It never expires: an event may come again years later.
CREATE TABLE bank_event (
    event_id    text        PRIMARY KEY CHECK (length(event_id) <= 64),
    resource    text        NOT NULL CHECK (length(resource) <= 64),
    action      text        NOT NULL CHECK (length(action) <= 64),
    handled_at  timestamptz NOT NULL
);

-- How far we have read the bank's list of events; one row.
CREATE TABLE bank_cursor (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    event_id text NOT NULL CHECK (length(event_id) <= 64)
);

-- What guards the judging of a sixty-fourth of all meters: whoever judges or moves one of them holds
-- this row, and raises the version, so that what another process remembers is known to be old.
CREATE TABLE bucket (
    bucket  integer PRIMARY KEY CHECK (bucket BETWEEN 0 AND 63),
    version bigint  NOT NULL DEFAULT 0 CHECK (version >= 0)
);

INSERT INTO bucket (bucket) SELECT generate_series(0, 63);

-- A process that reads, or would like to, and into how many shares it cuts the meters.
CREATE TABLE ingest_worker (
    worker text        PRIMARY KEY CHECK (length(worker) BETWEEN 1 AND 200),
    cut    integer     NOT NULL CHECK (cut BETWEEN 1 AND 64),
    until  timestamptz NOT NULL
);

-- Which process reads which share of the buckets at which broker. A lease that ran out is nobody's.
CREATE TABLE ingest_lease (
    broker text        NOT NULL CHECK (length(broker) BETWEEN 1 AND 200),
    share  text        NOT NULL CHECK (share ~ '^[0-9a-z-]{1,32}$'),
    worker text        NOT NULL CHECK (length(worker) BETWEEN 1 AND 200),
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (broker, share)
);

-- A file of readings that an operator sent, how it is read, and how far it is. A killed one still
-- runs: the same file again goes on with it. One of which nothing could be taken has failed.
CREATE TABLE upload (
    upload_id    uuid        PRIMARY KEY,
    digest       bytea       NOT NULL CHECK (length(digest) = 32),
    size_bytes   bigint      NOT NULL CHECK (size_bytes >= 0),
    form         text        NOT NULL CHECK (form IN ('csv', 'ndjson')),
    encoding     text        NOT NULL CHECK (encoding IN ('utf-8', 'windows-1251')),
    zone         text        NOT NULL CHECK (length(zone) <= 64),
    decimal_mark text        NOT NULL CHECK (decimal_mark IN ('.', ',')),
    sent_by      text        NOT NULL CHECK (length(sent_by) BETWEEN 1 AND 100),
    state        text        NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    rows         integer     NOT NULL CHECK (rows >= 0),
    rows_done    integer     NOT NULL DEFAULT 0 CHECK (rows_done BETWEEN 0 AND rows),
    rows_kept    integer     NOT NULL DEFAULT 0 CHECK (rows_kept BETWEEN 0 AND rows_done),
    stored       integer     NOT NULL DEFAULT 0 CHECK (stored >= 0),
    repeated     integer     NOT NULL DEFAULT 0 CHECK (repeated >= 0),
    refused      integer     NOT NULL DEFAULT 0 CHECK (refused >= 0),
    suspect      integer     NOT NULL DEFAULT 0 CHECK (suspect >= 0),
    flagged      integer     NOT NULL DEFAULT 0 CHECK (flagged >= 0),
    reason       text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    detail       text        CHECK (length(detail) <= 500),
    started_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    -- Every row that was decided came to exactly one thing.
    CONSTRAINT rows_add_up CHECK (stored + repeated + refused + suspect + flagged = rows_done),
    CONSTRAINT done_is_whole CHECK (state <> 'done' OR rows_done = rows),
    CONSTRAINT failure_has_reason CHECK ((state = 'failed') = (reason IS NOT NULL))
);
-- One file, read in one manner, is taken in once at a time.
CREATE UNIQUE INDEX upload_running ON upload (digest, form, encoding, zone, decimal_mark)
    WHERE state = 'running';
CREATE INDEX upload_newest ON upload (started_at DESC, upload_id DESC);

-- What became of a row that a person may have to act on, for the newest uploads; the evidence of a
-- refused one stands in refused_telegram.
CREATE TABLE upload_row (
    upload_id uuid        NOT NULL,
    row_no    integer     NOT NULL CHECK (row_no > 0),
    meter_id  text        CHECK (meter_id ~ '^[A-Z0-9-]{1,32}$'),
    read_at   timestamptz,
    result    text        NOT NULL CHECK (result IN ('refused', 'suspect', 'flagged')),
    reason    text        NOT NULL CHECK (reason ~ '^[a-z_]{1,40}$'),
    PRIMARY KEY (upload_id, row_no)
);

-- Who took people's names out of the house, for which month and why; the names are not here. The row
-- stands before the first name leaves.
CREATE TABLE name_export (
    export_id   uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('settlement')),
    from_day    date        NOT NULL,
    to_day      date        NOT NULL CHECK (to_day > from_day),
    form        text        NOT NULL CHECK (form IN ('csv', 'json')),
    rows        bigint      NOT NULL CHECK (rows >= 0),
    purpose     text        NOT NULL CHECK (length(purpose) BETWEEN 1 AND 500),
    exported_by text        NOT NULL CHECK (length(exported_by) BETWEEN 1 AND 100),
    exported_at timestamptz NOT NULL
);
CREATE INDEX name_export_newest ON name_export (exported_at DESC, export_id DESC);

-- A payout as the bank tells it, read again until it has been matched with the statement.
CREATE TABLE bank_payout (
    payout_id    text        PRIMARY KEY CHECK (length(payout_id) <= 64),
    status       text        NOT NULL CHECK (status ~ '^[a-z_]{1,40}$'),
    amount_minor bigint      NOT NULL,
    fees_minor   bigint      NOT NULL,
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reference    text        NOT NULL CHECK (length(reference) BETWEEN 1 AND 140),
    arrival_on   date,
    created_at   timestamptz NOT NULL,
    read_at      timestamptz NOT NULL,
    matched_at   timestamptz
);
CREATE INDEX bank_payout_reference ON bank_payout (reference);

-- What a payout is made of, in tenths of a minor unit, as the bank tells it today.
CREATE TABLE bank_payout_item (
    payout_id     text    NOT NULL CHECK (length(payout_id) <= 64),
    item_no       integer NOT NULL CHECK (item_no > 0),
    kind          text    NOT NULL CHECK (length(kind) <= 64),
    amount_tenths bigint  NOT NULL,
    payment_id    text    CHECK (length(payment_id) <= 64),
    refund_id     text    CHECK (length(refund_id) <= 64),
    PRIMARY KEY (payout_id, item_no)
);
CREATE INDEX bank_payout_item_payment ON bank_payout_item (payment_id);

-- One movement of the town's account, as a statement of its bank says it; what went out is negative. A
-- second entry of the same name on the same day is its second copy. "known_as" says what it turned out to be.
CREATE TABLE statement_line (
    line_id          text        PRIMARY KEY CHECK (line_id ~ '^[0-9a-f]{32}$'),
    iban_ending      text        NOT NULL CHECK (length(iban_ending) BETWEEN 1 AND 4),
    statement_id     text        NOT NULL CHECK (length(statement_id) <= 35),
    entry_ref        text        NOT NULL CHECK (length(entry_ref) <= 80),
    copy             integer     NOT NULL CHECK (copy > 0),
    booked_on        date        NOT NULL,
    amount_minor     bigint      NOT NULL CHECK (amount_minor <> 0),
    currency         text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    end_to_end_id    text        CHECK (length(end_to_end_id) <= 140),
    payout_reference text        CHECK (length(payout_reference) <= 140),
    status           text        NOT NULL CHECK (length(status) <= 40),
    text             text        NOT NULL CHECK (length(text) <= 500),
    reason           text        CHECK (length(reason) <= 40),
    imported_at      timestamptz NOT NULL,
    known_as         text        CHECK (length(known_as) <= 100)
);
CREATE INDEX statement_line_reference ON statement_line (payout_reference);
CREATE INDEX statement_line_unknown ON statement_line (booked_on) WHERE known_as IS NULL;

-- A local day: whether its statement has come, whether the bank's books have been read since it ended, and
-- since when all three sides agree about it.
CREATE TABLE recon_day (
    day           date        PRIMARY KEY,
    statement_id  text        CHECK (length(statement_id) <= 35),
    opening_minor bigint,
    closing_minor bigint,
    statement_at  timestamptz,
    read_at       timestamptz,
    agreed_at     timestamptz
);

-- What the three sides do not agree about. It is closed by itself when they do (closed_by is empty), or by
-- a person, and then not asked again as long as it stays what it was.
CREATE TABLE recon_break (
    break_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text        NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    subject          text        NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    account_id       text        CHECK (account_id ~ '^[A-Z0-9-]{1,32}$'),
    amount_minor     bigint,
    currency         text        CHECK (currency ~ '^[A-Z]{3}$'),
    detail           text        NOT NULL CHECK (length(detail) <= 500),
    suggested_action text        NOT NULL CHECK (length(suggested_action) <= 500),
    owner            text        NOT NULL CHECK (length(owner) BETWEEN 1 AND 100),
    day              date        NOT NULL,
    opened_at        timestamptz NOT NULL,
    seen_at          timestamptz NOT NULL,
    closed_at        timestamptz,
    closed_by        text        CHECK (length(closed_by) BETWEEN 1 AND 100),
    because          text        CHECK (length(because) BETWEEN 1 AND 500),
    CONSTRAINT closed_for_a_reason CHECK ((closed_at IS NULL) = (because IS NULL)),
    CONSTRAINT closed_by_when_closed CHECK (closed_by IS NULL OR closed_at IS NOT NULL)
);
-- The same break is one row, however often it is seen.
CREATE UNIQUE INDEX recon_break_open ON recon_break (kind, subject) WHERE closed_at IS NULL;
CREATE INDEX recon_break_subject ON recon_break (kind, subject);

-- A body that the bank signed, whole, as it came: under which of our secrets (1 the newest), and how often.
-- Kept for some weeks after it was opened.
CREATE TABLE webhook_delivery (
    delivery_id      bytea       PRIMARY KEY,
    body             bytea       NOT NULL CHECK (length(body) <= 1048576),
    signed_by        smallint    NOT NULL CHECK (signed_by IN (1, 2)),
    times            integer     NOT NULL DEFAULT 1 CHECK (times > 0),
    received_at      timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL CHECK (last_received_at >= received_at),
    handled_at       timestamptz,
    trouble          text        CHECK (trouble ~ '^[a-z_]{1,40}$'),
    -- A body cannot stand under another one's name.
    CONSTRAINT delivery_is_its_body CHECK (delivery_id = sha256(body)),
    CONSTRAINT trouble_is_seen_by_opening CHECK (trouble IS NULL OR handled_at IS NOT NULL)
);
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (received_at) WHERE handled_at IS NULL;
CREATE INDEX webhook_delivery_handled ON webhook_delivery (handled_at);

-- An event of the bank that has to be looked at, or looked at again: it came in a delivery, it names what
-- we do not know (yet), or it broke our own code. In the end a person answers. What was dealt with stands
-- in bank_event for ever; the row here goes after some weeks.
CREATE TABLE bank_hint (
    event_id    text        PRIMARY KEY CHECK (event_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    told        jsonb       NOT NULL CHECK (jsonb_typeof(told) = 'object'),
    heard_at    timestamptz NOT NULL,
    look_at     timestamptz NOT NULL,
    looks       integer     NOT NULL DEFAULT 0 CHECK (looks >= 0),
    state       text        NOT NULL CHECK (state IN ('waiting', 'asked', 'done')),
    trouble     text        CHECK (trouble ~ '^[a-z_]{1,40}$'),
    answered_by text        CHECK (length(answered_by) BETWEEN 1 AND 100),
    because     text        CHECK (length(because) BETWEEN 1 AND 500),
    settled_at  timestamptz,
    CONSTRAINT done_is_settled CHECK ((state = 'done') = (settled_at IS NOT NULL)),
    CONSTRAINT asked_about_something CHECK (state <> 'asked' OR trouble IS NOT NULL),
    CONSTRAINT answer_is_whole CHECK ((answered_by IS NULL) = (because IS NULL))
);
CREATE INDEX bank_hint_due ON bank_hint (look_at) WHERE state = 'waiting';
CREATE INDEX bank_hint_open ON bank_hint (event_id) WHERE state <> 'done';

-- The ledger's rows that belong to no resident: what the bank keeps of a payout, and lines of its
-- statement that nobody knows. Like "transfer" they are posted once and never changed.
CREATE TABLE town_transfer (
    transfer_id  text        PRIMARY KEY CHECK (transfer_id ~ '^[A-Za-z0-9_/-]{1,120}$'),
    phase        text        NOT NULL CHECK (phase = 'posted'),
    debit_code   text        NOT NULL REFERENCES ledger_account,
    credit_code  text        NOT NULL REFERENCES ledger_account CHECK (credit_code <> debit_code),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reference    text        NOT NULL CHECK (length(reference) <= 140),
    posted_at    timestamptz NOT NULL
);

-- Divide and round as a tariff says; the numerator is not negative.
CREATE FUNCTION rounded(numerator numeric, denominator numeric, rounding text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE rounding
    WHEN 'down' THEN div(numerator, denominator)
    WHEN 'half_even' THEN div(numerator, denominator) + CASE
        WHEN 2 * mod(numerator, denominator) > denominator THEN 1
        WHEN 2 * mod(numerator, denominator) = denominator
            THEN mod(div(numerator, denominator), 2)
        ELSE 0
    END
    ELSE div(2 * numerator + denominator, 2 * denominator)
END::bigint;

-- What the service may do. It owns nothing, and it cannot change or remove a fact. --------------
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aqkol_service') THEN
        CREATE ROLE aqkol_service NOLOGIN;
        -- Since PostgreSQL 16 a creator who is no superuser may not become the role without this.
        EXECUTE format('GRANT aqkol_service TO %I', CURRENT_USER);
    ELSIF NOT pg_has_role(CURRENT_USER, 'aqkol_service', 'MEMBER') THEN
        EXECUTE format('GRANT aqkol_service TO %I', CURRENT_USER);
    END IF;
END $$;

GRANT USAGE ON SCHEMA public TO aqkol_service;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO aqkol_service;
REVOKE INSERT ON ledger_account, bucket, trusted_reading FROM aqkol_service;
REVOKE INSERT ON held_reading, held_period, usage_now, estimate_sighting FROM aqkol_service;
REVOKE INSERT ON open_dispute, open_question, open_run_stop FROM aqkol_service;
GRANT UPDATE (state) ON meter TO aqkol_service;
GRANT UPDATE (version) ON bucket TO aqkol_service;
GRANT UPDATE (until), DELETE ON ingest_worker TO aqkol_service;
GRANT UPDATE (worker, since, until), DELETE ON ingest_lease TO aqkol_service;
GRANT UPDATE (valid_until, frozen_at, revoked_at) ON device_key TO aqkol_service;
GRANT UPDATE (claim_digest, tries_left, issued_at, claimed_at) ON meter_claim TO aqkol_service;
GRANT UPDATE (closed_at, closed_by, outcome) ON meter_case TO aqkol_service;
GRANT UPDATE (high_water, seen, updated_at) ON replay_window TO aqkol_service;
GRANT UPDATE (removed_at, closing_dm3, closing_turns) ON installation TO aqkol_service;
GRANT UPDATE (removed_at, removed_by) ON source TO aqkol_service;
GRANT UPDATE (times, last_received_at), DELETE ON refused_telegram TO aqkol_service;
GRANT UPDATE (reason, noted_at), DELETE ON usage_gap, bill_hold TO aqkol_service;
GRANT UPDATE (meter_id, detail) ON bill_hold TO aqkol_service;
GRANT UPDATE (valid_to) ON tariff TO aqkol_service;
GRANT UPDATE (tariff_code) ON account TO aqkol_service;
GRANT UPDATE (full_name, address) ON person TO aqkol_service;
GRANT UPDATE (
    state, enrolment, payment_minor_max, month_minor_max, bank_request_id, bank_flow_id,
    authorisation_url, return_digest, bank_mandate_id, account_number_ending, changed_at
) ON mandate TO aqkol_service;
GRANT UPDATE (
    state, reason, charge_on, idempotency_key, body, body_digest, bank_payment_id, lease_until,
    sends, first_sent_at, changed_at, retry_on, before_chargeback, before_review
) ON debit TO aqkol_service;
GRANT UPDATE (
    state, reason, idempotency_key, body, body_digest, bank_refund_id, lease_until, sends,
    first_sent_at, changed_at
) ON refund TO aqkol_service;
GRANT UPDATE (address, replaced_at) ON contact TO aqkol_service;
GRANT UPDATE (channel, state, tries, next_try_at, delivered_at, trouble) ON message TO aqkol_service;
GRANT UPDATE (paused, ended_at, outcome, named_at) ON account_change TO aqkol_service;
GRANT UPDATE (revoked_at) ON access_token TO aqkol_service;
GRANT UPDATE (event_id) ON bank_cursor TO aqkol_service;
GRANT UPDATE (
    state, rows_done, rows_kept, stored, repeated, refused, suspect, flagged, changed_at
) ON upload TO aqkol_service;
GRANT DELETE ON upload_row, usage_doubt TO aqkol_service;
GRANT UPDATE (lifted_by, lifted_for, lifted_at) ON mandate_freeze TO aqkol_service;
GRANT UPDATE (status, amount_minor, fees_minor, reference, arrival_on, read_at, matched_at) ON bank_payout
TO aqkol_service;
GRANT DELETE ON bank_payout_item TO aqkol_service;
GRANT UPDATE (known_as) ON statement_line TO aqkol_service;
GRANT UPDATE (statement_id, opening_minor, closing_minor, statement_at, read_at, agreed_at) ON recon_day
TO aqkol_service;
GRANT UPDATE (
    account_id, amount_minor, currency, detail, day, seen_at, closed_at, closed_by, because
) ON recon_break TO aqkol_service;
GRANT UPDATE (times, last_received_at, handled_at, trouble), DELETE ON webhook_delivery TO aqkol_service;
GRANT UPDATE (
    look_at, looks, state, trouble, heard_at, answered_by, because, settled_at
), DELETE ON bank_hint TO aqkol_service;
REVOKE ALL ON FUNCTION open_reading_month(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_reading_month(timestamptz) TO aqkol_service;
