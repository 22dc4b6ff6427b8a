"""The database believes nobody: each constraint refuses the row it was written against."""

import asyncpg
import pytest

WORLD = """
INSERT INTO tariff VALUES ('home', '2025-01-01', '2026-01-01', 640490, 'KZT', 'order 1');
INSERT INTO meter VALUES ('M-1', 100000000, 1, 6000, true, '2025-01-01Z');
INSERT INTO meter VALUES ('M-2', 100000000, 1, 6000, true, '2025-01-01Z');
INSERT INTO installation VALUES ('M-1', '2025-01-01Z', 'A-1', 'P-1', 0, NULL, NULL, NULL);
INSERT INTO account VALUES ('A-1', 'home', 'KZT', '2025-01-01Z');
INSERT INTO bill VALUES ('A-1', '2025-01', '2025-01-01', '2025-02-01', 1, 1000, 100, 12, 112, 'KZT',
                         '2025-02-01Z', '2025-02-25');
INSERT INTO mandate (account_id, mandate_id, state, enrolment, payment_minor_max, month_minor_max,
                     currency, return_digest, bank_mandate_id, created_at, changed_at)
VALUES ('A-1', 'M-A', 'active', 'active', 1000, 1000, 'KZT', sha256('x'), 'MD1',
        '2025-01-01Z', '2025-01-01Z');
INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor, currency,
                   charge_on, changed_at)
VALUES ('A-1', '2025-01', 1, 'M-A', 'noticed', 112, 'KZT', '2025-02-25', '2025-02-01Z');
"""

REFUSED = {
    "coefficients that begin within a month": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-02', 1, 'x', 10000,"
            " array_fill(10000, ARRAY[12]), array_fill(10000, ARRAY[12]), 'order 1', now())"
        ),
        "coefficient_table_valid_from_check",
    ),
    "coefficients in another fraction": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-01', 1, 'x', 1000,"
            " array_fill(10000, ARRAY[12]), array_fill(10000, ARRAY[12]), 'order 1', now())"
        ),
        "coefficient_table_denominator_check",
    ),
    "coefficients for eleven months": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-01', 1, 'x', 10000,"
            " array_fill(10000, ARRAY[11]), array_fill(10000, ARRAY[12]), 'order 1', now())"
        ),
        "coefficients_are_twelve",
    ),
    "a month without a coefficient": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-01', 1, 'x', 10000,"
            " array_fill(10000, ARRAY[12]), array_fill(10000, ARRAY[11]) || NULL::integer,"
            " 'order 1', now())"
        ),
        "coefficients_are_twelve",
    ),
    "coefficients for no month": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-01', 1, 'x', 10000,"
            " array_fill(10000, ARRAY[12]), '{}', 'order 1', now())"
        ),
        "coefficients_are_twelve",
    ),
    "a coefficient of no climate": (
        (
            "INSERT INTO coefficient_table VALUES ('2026-01-01', 1, 'x', 10000,"
            " array_fill(10000, ARRAY[12]), array_fill(14001, ARRAY[12]), 'order 1', now())"
        ),
        "coefficients_are_weather",
    ),
    "a place of a stay that never was": (
        (
            "INSERT INTO stay_place VALUES ('M-2', '2025-01-01Z', '2025-01-01', 1, 'outdoor',"
            " 'town', 'Olga', now())"
        ),
        "stay_place_meter_id_installed_at_fkey",
    ),
    "a place that nobody knows": (
        (
            "INSERT INTO stay_place VALUES ('M-1', '2025-01-01Z', '2025-01-01', 1, 'cellar',"
            " 'town', 'Olga', now())"
        ),
        "stay_place_place_check",
    ),
    "MJ taken for kWh": (
        (
            "INSERT INTO calorific_value VALUES ('town', 'kwh_m3', 'day', '2026-01-01', 1,"
            " 3930000, 'x', now())"
        ),
        "heat_is_that_of_natural_gas",
    ),
    "the heat of a month from its second day on": (
        (
            "INSERT INTO calorific_value VALUES ('town', 'mj_m3', 'month', '2026-01-02', 1,"
            " 3930000, 'x', now())"
        ),
        "month_starts_with_its_first",
    ),
    "figures for a rule that has its own": (
        ("INSERT INTO zone_figures VALUES ('town', 'uk', '2026-01-01', 1, '{}', 'order 1', now())"),
        "zone_figures_rule_check",
    ),
    "a gap without a day": (
        (
            "INSERT INTO declared_gap VALUES ('M-1', '2026-01-03', '2026-01-03', 'x', 'O', now(),"
            " gen_random_uuid(), 'workshop')"
        ),
        "declared_gap_check",
    ),
    "a gap for a reason that nobody can count": (
        (
            "INSERT INTO declared_gap VALUES ('M-1', '2026-01-03', '2026-01-04', 'x', 'O', now(),"
            " gen_random_uuid(), 'lazy')"
        ),
        "declared_gap_reason_check",
    ),
    "a withdrawal of a gap that nobody declared": (
        "INSERT INTO gap_withdrawal VALUES ('M-1', gen_random_uuid(), 'x', 'Olga', now())",
        "gap_withdrawal_meter_id_gap_id_fkey",
    ),
    "two prices for one day": (
        "INSERT INTO tariff VALUES ('home', '2025-12-31', NULL, 1, 'KZT', 'order 2')",
        "tariff_overlaps",
    ),
    "a tariff that ends before it begins": (
        "INSERT INTO tariff VALUES ('shop', '2026-01-01', '2025-01-01', 1, 'KZT', 'order 2')",
        "tariff_check",
    ),
    "a meter in two homes at once": (
        "INSERT INTO installation VALUES ('M-1', '2025-06-01Z', 'A-2', 'P-2', 0, NULL, NULL, NULL)",
        "installation_overlaps",
    ),
    "a removal without its register": (
        (
            "INSERT INTO installation VALUES ('M-2', '2025-06-01Z', 'A-2', 'P-2', 0, '2025-07-01Z',"
            " NULL, NULL)"
        ),
        "removal_is_whole",
    ),
    "a billable reading without its turns": (
        "INSERT INTO reading VALUES ('M-1', '2025-01-05Z', 5, NULL, 'billable', NULL, 1, now())",
        "verdict_is_whole",
    ),
    "a suspect reading without a reason": (
        "INSERT INTO reading VALUES ('M-1', '2025-01-05Z', 5, NULL, 'suspect', NULL, 1, now())",
        "verdict_is_whole",
    ),
    "a second register at the same instant": (
        (
            "INSERT INTO reading VALUES ('M-1', '2025-01-05Z', 5, 0, 'billable', NULL, 1, now()),"
            " ('M-1', '2025-01-05Z', 6, 0, 'billable', NULL, 2, now())"
        ),
        "reading_202501_pkey",
    ),
    "a second bill for a month": (
        (
            "INSERT INTO bill SELECT account_id, '2025-01-2', period_start, period_end,"
            " 1, 0, 0, 0, 0,"
            " currency, issued_at, due_on FROM bill"
        ),
        "bill_once",
    ),
    "a bill that does not add up": (
        (
            "INSERT INTO bill SELECT account_id, '2025-01-2', period_start, period_end,"
            " 2, 0, 100, 12,"
            " 113, currency, issued_at, due_on FROM bill"
        ),
        "bill_adds_up",
    ),
    "a second live debit for a bill": (
        (
            "INSERT INTO debit (account_id, bill_no, attempt, mandate_id, state, amount_minor,"
            " currency, charge_on, changed_at) SELECT account_id, bill_no, 2, mandate_id,"
            " 'noticed',"
            " amount_minor, currency, charge_on, changed_at FROM debit"
        ),
        "debit_one_alive",
    ),
    "a debit sent without its key and body": (
        "UPDATE debit SET state = 'sending'",
        "sent_is_frozen",
    ),
    "a second mandate that could be debited": (
        (
            "INSERT INTO mandate SELECT account_id, 'M-B', state, enrolment, payment_minor_max,"
            " month_minor_max, currency, bank_request_id, bank_flow_id, authorisation_url,"
            " return_digest, 'MD2', account_number_ending, created_at, changed_at FROM mandate"
        ),
        "mandate_usable",
    ),
    "an active mandate the bank does not know": (
        "UPDATE mandate SET bank_mandate_id = NULL",
        "active_has_bank_id",
    ),
    "a transfer of nothing": (
        (
            "INSERT INTO transfer VALUES ('A-1', 'x', 'posted', 'receivable', 'revenue', 0, 'KZT',"
            " '2025-01', now())"
        ),
        "transfer_amount_minor_check",
    ),
    "a transfer from an account to itself": (
        (
            "INSERT INTO transfer VALUES ('A-1', 'x', 'posted', 'revenue', 'revenue', 1, 'KZT',"
            " '2025-01', now())"
        ),
        "transfer_check",
    ),
    "a transfer into an account nobody opened": (
        (
            "INSERT INTO transfer VALUES ('A-1', 'x', 'posted', 'pockets', 'revenue', 1, 'KZT',"
            " '2025-01', now())"
        ),
        "transfer_debit_code_fkey",
    ),
    "a resident's token without an account": (
        (
            "INSERT INTO access_token VALUES (sha256('t'), 'resident', NULL, 'x', '2025-01-01Z',"
            " '2025-02-01Z', NULL)"
        ),
        "token_has_owner",
    ),
    "an operator's token with an account": (
        (
            "INSERT INTO access_token VALUES (sha256('t'), 'operator', 'A-1', 'x', '2025-01-01Z',"
            " '2025-02-01Z', NULL)"
        ),
        "token_has_owner",
    ),
}


class TestConstraints:
    """The schema, even for its owner, ..."""

    @pytest.mark.parametrize(("statement", "constraint"), REFUSED.values(), ids=list(REFUSED))
    async def test_refuses(
        self, owner: asyncpg.Connection, statement: str, constraint: str
    ) -> None:
        """What must be true for ever does not depend on the code above it."""
        await owner.execute(WORLD)
        await owner.execute("SELECT open_reading_month('2025-01-05Z')")

        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
            await owner.execute(statement)

        assert refusal.value.constraint_name == constraint
