-- migrate:up

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

GRANT SELECT ON held_reading, held_period TO aqkol_service;

-- Gas about which a finding waits for a person is neither measured nor billed.
ALTER TABLE usage_gap
    DROP CONSTRAINT usage_gap_reason_check,
    ADD CONSTRAINT usage_gap_reason_check CHECK (
        reason IN ('no_opening_register', 'no_closing_register', 'held_finding')
    );
ALTER TABLE bill_hold
    DROP CONSTRAINT bill_hold_reason_check,
    ADD CONSTRAINT bill_hold_reason_check CHECK (reason IN (
        'no_opening_register', 'no_closing_register', 'no_price', 'no_register_at_price_change',
        'held_finding'
    ));
