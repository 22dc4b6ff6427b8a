"""The table of scenarios against the list of faults: nothing is left out silently."""

from typing import Final

from tests.world.scenarios import SCENARIOS

# The fault list of the payments reference, section 3.2, one scenario or more for each.
FAULTS: Final = {
    "connect refused": ("connect_refused",),
    "DNS failure": ("dns_failure",),
    "timeout before send": ("timeout_before_send",),
    "timeout after bank commit": ("timeout_after_commit", "silent_after_commit", "answer_delayed"),
    "response lost": ("response_lost",),
    "reset mid-body": ("reset_mid_body",),
    "truncated JSON": ("truncated_json", "answer_half"),
    "slow drip": ("slow_drip",),
    "duplicate request delivered twice": ("request_twice", "delivered_twice"),
    "reordered requests": ("requests_reordered", "requests_overtake"),
    "one-way partition": ("one_way_partition_to_bank", "one_way_partition_from_bank"),
    "partition longer than the key window": ("partition_past_key_window",),
    "500 before commit": ("error_before_commit",),
    "500 after commit": ("error_after_commit",),
    "502 HTML": ("bad_gateway_html",),
    "503": ("unavailable",),
    "429 with reset header": ("rate_limit_with_reset",),
    "429 without reset header": ("rate_limit_bare",),
    "409 with matching resource": ("conflict_matching",),
    "409 with mismatching resource": ("conflict_mismatching",),
    "401, token rotated mid-run": ("token_rotated", "forbidden"),
    "new enum value": ("new_enum",),
    "extra field": ("extra_field",),
    "missing optional": ("missing_optional",),
    "stale reads": ("stale_reads",),
    "list pagination shifting": ("list_shifts",),
    "clock skew": ("bank_clock_skew",),
    "key expiry": ("key_expiry",),
    "duplicate id bug at the bank": ("duplicate_id",),
    "amounts echoed wrong": ("amount_echoed_wrong",),
    "insufficient funds": ("insufficient_funds",),
    "refer to payer": ("refer_to_payer",),
    "closed": ("account_closed",),
    "transferred": ("account_transferred",),
    "cap exceeded": ("cap_exceeded_at_bank",),
    "mandate cancelled between notice and debit": ("mandate_cancelled_before_debit",),
    "mandate cancelled between submit and confirm": ("mandate_cancelled_before_confirm",),
    "suspended by payer": ("suspended_by_payer",),
    "expired by dormancy": ("expired_by_dormancy",),
    "deceased": ("payer_deceased",),
    "late failure before payout": ("late_failure_before_payout",),
    "late failure after payout": ("late_failure_after_payout",),
    "chargeback": ("chargeback", "chargeback_before_payout"),
    "chargeback cancelled": ("chargeback_cancelled",),
    "provider self-retry colliding with ours": ("bank_retries_too",),
    "retry limit reached": ("retry_limit",),
    "holiday roll of charge_date": ("holiday_roll",),
    "cut-off missed": ("cutoff_missed",),
    "webhooks lost for days": ("webhooks_lost",),
    "webhooks duplicated": ("webhooks_duplicated",),
    "webhooks reordered": ("webhooks_reordered",),
    "webhooks batched 250": ("webhooks_in_one_batch",),
    "webhooks replayed a month later": ("webhooks_replayed",),
    "webhooks with a bad signature": ("webhooks_badly_signed",),
    "webhooks with the old secret": ("webhooks_with_old_secret",),
    "webhook body re-encoded": ("webhooks_encoded_anew",),
    "webhook endpoint slow": ("webhook_endpoint_slow",),
    "event for an unknown id": ("webhooks_of_strangers",),
    "event before our POST response arrives": ("news_before_answer",),
    "kill -9 before intent": ("kill_before_intent",),
    "kill -9 after intent": ("kill_after_intent", "kill_before_send"),
    "kill -9 after send": ("kill_after_send",),
    "kill -9 after response": ("kill_after_response",),
    "kill -9 before commit": ("kill_before_intent", "commit_unheard"),
    "kill -9 at every await point": ("kill_anywhere",),
    "two workers after lease expiry": ("two_workers_after_lease",),
    "pause past the lease": ("pause_past_lease",),
    "restart storm": ("restart_storm",),
    "connection pool exhaustion": ("pool_exhausted", "session_lost"),
    "serialization failure": ("serialization_failure",),
    "deadlock": ("deadlock",),
    "failover losing the last commits": ("failover_loses_commits",),
    "disk full": ("disk_full",),
    "backup restored to an earlier point": ("backup_restored",),
    "deploy with old and new code live": ("old_and_new_code",),
    "migration mid-cycle": ("migration_mid_cycle",),
    "DST and timezone": ("timezone_change",),
    "month end": ("month_end",),
    "leap day": ("leap_day",),
    "clock jump back": ("clock_jump_back",),
    "clock jump forward": ("clock_jump_forward",),
    "billing run overlapping the previous one": ("overlapping_runs",),
    "corrected reading after notice": ("corrected_after_notice",),
    "duplicate bill": ("duplicate_bill", "rebilled"),
    "bill voided after submit": ("voided_after_submit",),
    "zero or negative bill": ("zero_or_negative_bill",),
    "meter swap": ("meter_swap",),
    "huge spike": ("huge_spike",),
    "late reading changing a finalised bill": ("late_reading",),
    "chargeback after refund": ("chargeback_after_refund",),
    "refund bounced": ("refund_bounced",),
    "refund returned": ("refund_returned",),
    "bounced payout": ("payout_bounced",),
    "partial payout": ("partial_payout", "payout_late"),
    "payout item missing, duplicated or off by one unit": (
        "payout_item_missing",
        "payout_item_twice",
        "payout_item_off_by_one",
        "payout_item_of_another",
    ),
    "two operators resolve the same break": ("two_operators_one_break",),
    "double click on refund": ("double_refund_click",),
    "pause racing the send": ("pause_races_send",),
    "cancel racing the send": ("cancel_races_send",),
    "operator replays a batch": ("operator_replays_batch",),
}
# Worlds beside the list: how the town lives without faults, many faults at once, and people.
BESIDE: Final = {
    "plain",
    "everything_at_once",
    "breaker_trips",
    "review_by_two",
    "long_holiday",
    "account_changed",
}


class TestTheTable:
    """Every fault that we know of has a scenario with a name."""

    def test_holds_every_fault(self) -> None:
        """A fault that nobody simulates is a fault that we meet in production first."""
        missing = {name for names in FAULTS.values() for name in names} - set(SCENARIOS)
        assert missing == set()

    def test_holds_nothing_that_is_not_in_the_list(self) -> None:
        """What the table has, the list tells."""
        listed = {name for names in FAULTS.values() for name in names} | BESIDE
        assert set(SCENARIOS) - listed == set()
