-- migrate:up

CREATE INDEX transfer_disputed ON transfer (account_id, bill_no)
    WHERE credit_code = 'chargebacks_receivable' OR debit_code = 'chargebacks_receivable';

-- Money that came for an attempt we had given up stands on no bill: it is the bank's, and goes back at once.
ALTER TABLE refund
    DROP CONSTRAINT refund_source_check,
    ADD CONSTRAINT refund_source_check CHECK (
        source IN ('receivable', 'resident_credit', 'refund_due', 'bank')
    );
