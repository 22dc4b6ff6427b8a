-- migrate:up

CREATE INDEX transfer_disputed ON transfer (account_id, bill_no)
    WHERE credit_code = 'chargebacks_receivable' OR debit_code = 'chargebacks_receivable';
