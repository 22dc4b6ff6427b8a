-- migrate:up

-- Bills in dispute now.
CREATE VIEW open_dispute AS
SELECT q.*
FROM bill_dispute q
WHERE NOT EXISTS (
    SELECT FROM bill_dispute_end e
    WHERE e.account_id = q.account_id AND e.bill_no = q.bill_no AND e.from_day = q.from_day
);

GRANT SELECT ON open_dispute TO aqkol_service;
