"""Defects we plant on purpose: each is put into a copy of the code, and the suite must object.

A test that cannot fail is a defect. Run them with ``./aqkol test -m planted``; the ordinary run
leaves them out, because each runs a part of the suite again.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "billing", "metering", "simulators", "sql", "tests", "pyproject.toml", "README.md")
# pytest's own word for "tests ran and some failed"; anything else is a mistake of ours.
TESTS_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A text in a file, what to put in its place, and the tests that must go red."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


DEFECTS = {
    "the broker is acknowledged before anything is stored": Defect(
        file="metering/io/link_codec.py",
        right="                        deliver(packet.topic,",
        wrong="                        self.ack([(mid, qos)])\n"
        "                        deliver(packet.topic,",
        tests=("tests/contract/test_mqtt.py::TestAnUnacknowledgedMessage",),
    ),
    "paho acknowledges before anything is stored": Defect(
        file="metering/io/link_paho.py",
        right="self._paho.manual_ack_set(True)",
        wrong="self._paho.manual_ack_set(False)",
        tests=("tests/contract/test_mqtt.py::TestAnUnacknowledgedMessage",),
    ),
    "a lost connection leaves somebody waiting for room": Defect(
        file="metering/io/mqtt.py",
        right="if link.lost.is_set() or self._outbound.link is not link:",
        wrong="if False:",
        tests=("tests/contract/test_mqtt_wire.py::TestManyReceipts",),
    ),
    "what was foreseen is believed after a batch was lost": Defect(
        file="metering/io/store.py",
        right="if foreseen.era == self._heads.era and self._versions == foreseen.versions:",
        wrong="if self._versions == foreseen.versions:",
        tests=("tests/metering/test_head_cache.py::TestForesight",),
    ),
    "a lost batch is remembered": Defect(
        file="metering/io/store.py",
        right="            self._heads.fail()\n            raise",
        wrong="            raise",
        tests=("tests/metering/test_head_cache.py::TestForesight",),
    ),
    "a share is taken from a process that is there": Defect(
        file="sql/leases.sql",
        right="WHERE lease.worker = EXCLUDED.worker OR lease.until <= clock_timestamp()",
        wrong="WHERE true",
        tests=("tests/app/test_shares.py::TestLease",),
    ),
    "a flood of one meter makes all others wait": Defect(
        file="metering/turn.py",
        right="    if max(first.values()) <= max(limit // SHARES, 1):",
        wrong="    if True:",
        tests=("tests/metering/test_turn.py::TestACrowd",),
    ),
    "a flood that is rolled back counts": Defect(
        file="metering/io/floods.py",
        right="        spent = Spent(rows=rows,",
        wrong="        self._rows.spend(rows, at)\n        spent = Spent(rows=rows,",
        tests=("tests/metering/test_floods.py::TestAFloodOfNonsense",),
    ),
    "what is already read goes on past the limit": Defect(
        file="metering/io/link_codec.py",
        right="while at < size and self._reading and",
        wrong="while at < size and",
        tests=("tests/contract/test_mqtt.py::TestASlowDatabase",),
    ),
    "the acknowledgement goes out before the commit": Defect(
        file="metering/ingest.py",
        right="    try:\n        counts, told = await ingest(",
        wrong="    subscription.ack(arrivals)\n    try:\n        counts, told = await ingest(",
        tests=("tests/metering/test_ingest_once.py",),
    ),
    "true and 3.5 pass for a register": Defect(
        file="metering/telegram.py",
        right="ConfigDict(strict=True, frozen=True",
        wrong="ConfigDict(strict=False, frozen=True",
        tests=("tests/metering/test_telegram.py",),
    ),
    "a signature is not bound to its meter": Defect(
        file="metering/signed.py",
        right='context + b"\\x00" + meter_id.encode("ascii")',
        wrong='context + b"\\x00"',
        tests=("tests/metering/test_signed.py::TestAnHonestTelegram",),
    ),
    "a telegram speaks for another meter than its topic": Defect(
        file="metering/signed.py",
        right='if said[_METER] != meter_id.encode("ascii"):',
        wrong="if False:",
        tests=("tests/metering/test_signed.py::TestAWrongEnvelope",),
    ),
    "a second story under one counter passes for a repeat": Defect(
        file="metering/batch.py",
        right="if told == telegram.digest:",
        wrong="if True:",
        tests=("tests/metering/test_ingest_signed.py::TestD20TwoStories",),
    ),
    "a meter that signs falls back to unsigned telegrams": Defect(
        file="metering/bar.py",
        right="return _UNSIGNED if head.keys and",
        wrong="return _UNSIGNED if False and",
        tests=("tests/metering/test_ingest_signed.py::TestD14D15Forgery",),
    ),
    "an operator gives a meter that speaks a second voice": Defect(
        file="metering/io/custody.py",
        right="if not all(old.ended(at) for old in keys):",
        wrong="if not keys:",
        tests=("tests/metering/test_custody.py::TestVouchedKey",),
    ),
    "a reissued claim code leaves the old one good": Defect(
        file="sql/devices.sql",
        right="SET claim_digest = :claim_digest, tries_left",
        wrong="SET claim_digest = coalesce(claim_digest, :claim_digest), tries_left",
        tests=("tests/metering/test_custody.py::TestReissuedCode",),
    ),
    "unknown firmware hides behind what a meter said before": Defect(
        file="metering/firmware.py",
        right="heads[telegram.meter_id].firmware != telegram.firmware",
        wrong="heads[telegram.meter_id].firmware is None",
        tests=("tests/metering/test_firmware.py::TestD26UnknownFirmware",),
    ),
    "two clerks both close a case": Defect(
        file="sql/desk.sql",
        right="WHERE meter_id = :meter_id AND case_id = :case_id AND closed_at IS NULL",
        wrong="WHERE meter_id = :meter_id AND case_id = :case_id",
        tests=("tests/app/test_desk_race.py::TestTwoClerksAndACase",),
    ),
    "a withdrawn gap goes on hiding missing days": Defect(
        file="metering/gaps.py",
        right="return self.withdrawn_at is None and self.from_day",
        wrong="return self.from_day",
        tests=("tests/metering/test_gaps.py::TestADay",),
    ),
    "a telegram that nothing proves is acknowledged": Defect(
        file="metering/signed.py",
        right="return replace(refusal(reason, detail, meter_id), answerable=False)",
        wrong="return replace(refusal(reason, detail, meter_id), counter=0, key_epoch=1)",
        tests=("tests/metering/test_ingest_signed.py::TestD14D15Forgery",),
    ),
    "a dial that passes zero forgets its turn": Defect(
        file="metering/verdict.py",
        right="before.turns + 1 if turned else before.turns",
        wrong="before.turns",
        tests=("tests/metering/test_verdict.py",),
    ),
    "a litre is lost when a gap is shared out": Defect(
        file="metering/spread.py",
        right="    for place in by_remainder[:left]:",
        wrong="    for place in by_remainder[1:left]:",
        tests=("tests/metering/test_estimate.py",),
    ),
    "a town may switch off the rules that guard the line": Defect(
        file="metering/rule.py",
        right="return rule.code in NOT_SOFTENED and",
        wrong="return rule.code not in NOT_SOFTENED and",
        tests=("tests/metering/test_rule.py",),
    ),
    "gas that two months leave between them is not missed": Defect(
        file="metering/segment.py",
        right="        if two.from_at > one.to_at",
        wrong="        if two.from_at >= one.to_at",
        tests=("tests/metering/test_segment.py",),
    ),
    "a reading is explained by a mark that is long past": Defect(
        file="metering/survey.py",
        right="            before, off_line = one.mark, []",
        wrong="            off_line = []",
        tests=("tests/metering/test_validate.py::TestAMonth",),
    ),
    "a register that lost its last digits is taken": Defect(
        file="metering/sheet.py",
        right="if not ended and self.head is not None and",
        wrong="if False and",
        tests=("tests/metering/test_sheet.py",),
    ),
    "an hour that the clock showed twice is guessed": Defect(
        file="metering/upload.py",
        right="    if before > after:",
        wrong="    if False:",
        tests=("tests/metering/test_upload.py",),
    ),
    "two people take one file in twice": Defect(
        file="sql/uploads.sql",
        right="AND rows_done = :start::int AND",
        wrong="AND :start::int >= 0 AND",
        tests=("tests/metering/test_take_in.py::TestAStep",),
    ),
    "a dry run is committed": Defect(
        file="metering/take_in.py",
        right="            raise _UndoneError",
        wrong="            await batch.keep(outcome, at=at)\n            return outcome",
        tests=("tests/metering/test_take_in.py::TestADryRun",),
    ),
    "a bill does not begin where the one before ended": Defect(
        file="sql/usage.sql",
        right="WHERE earlier.to_at = b.boundary_at AND",
        wrong="WHERE false AND earlier.to_at = b.boundary_at AND",
        tests=("tests/billing/test_reconcile.py",),
    ),
    "half a tiyn is rounded down": Defect(
        file="sql/bills.sql",
        right=" + 500000) / 1000000",
        wrong=") / 1000000",
        tests=("tests/billing/test_vectors.py",),
    ),
    "bands begin anew when the tax changes": Defect(
        file="sql/bills.sql",
        right="PARTITION BY s.account_id, s.term_from_day, s.valid_from\n",
        wrong="PARTITION BY s.account_id, s.term_from_day, s.price_no\n",
        tests=("tests/billing/test_bands.py::TestBands",),
    ),
    "a norm is that of the whole month on half of its days": Defect(
        file="sql/bills.sql",
        right="- greatest(s.term_from_day, s.valid_from, s.supply_from_day)",
        wrong="- least(s.term_from_day, s.valid_from, s.supply_from_day)",
        tests=("tests/billing/test_bands.py::TestBands",),
    ),
    "a word said after the bill changes what it should have been": Defect(
        file="billing/proof_bill.py",
        right="period=priced.period, known_at=at),",
        wrong="period=priced.period),",
        tests=("tests/billing/test_bands.py::TestCharges",),
    ),
    "a month is made up before its readings had their time": Defect(
        file="billing/io/store.py",
        right="if days is None or run.at < run.period.bounds(run.zone)[1] + timedelta(days=days):",
        wrong="if days is None:",
        tests=("tests/billing/test_estimates.py",),
    ),
    "a meter is estimated for ever": Defect(
        file="metering/io/uses.py",
        right='Quality.ESTIMATED if one["estimated"] else Quality.ACTUAL',
        wrong="Quality.ACTUAL",
        tests=("tests/billing/test_estimates.py",),
    ),
    "gas is measured while a finding waits": Defect(
        file="sql/usage.sql",
        right="        WHEN p.waits THEN 'held_finding'",
        wrong="        WHEN p.waits AND false THEN 'held_finding'",
        tests=("tests/billing/test_held_findings.py::TestAHeldFinding",),
    ),
    "an override is not told to a running ingest": Defect(
        file="metering/io/rules.py",
        right="            await lock_buckets(connection, range(BUCKETS))\n",
        wrong="            await lock_buckets(connection, [])\n",
        tests=("tests/metering/test_head_cache.py::TestATownsRules",),
    ),
    "a second try uses a fresh key": Defect(
        file="billing/ask.py",
        right="bank.create_payment(debit.body, debit.idempotency_key)",
        wrong='bank.create_payment(debit.body, f"{debit.idempotency_key}/{debit.sends}")',
        tests=("tests/billing/test_collect_send.py::TestSend",),
    ),
    "the guards are not asked again when a debit is recorded": Defect(
        file="billing/collect.py",
        right="obstacle = _obstacle(mandate, due, known, zone)",
        wrong="obstacle = None",
        tests=("tests/billing/test_collect.py",),
    ),
    "an event of the bank takes effect twice": Defect(
        file="billing/news.py",
        right='            return "repeated"\n        if payment.status is None',
        wrong="            pass\n        if payment.status is None",
        tests=("tests/billing/test_collect_follow.py",),
    ),
    "a resident sees the account of another": Defect(
        file="app/mount.py",
        right="                raise ProblemError(problems.NOT_FOUND)\n            return caller",
        wrong="                pass\n            return caller",
        tests=("tests/app/test_policies.py",),
    ),
    "a stranger's mapping reads our own meters": Defect(
        file="metering/source.py",
        right="if not arrival.topic.startswith(UPLINK):",
        wrong="if True:",
        tests=("tests/metering/test_sources_store.py::TestAdapted",),
    ),
    "a gateway that packs an old register anew makes a conflict": Defect(
        file="metering/adapter.py",
        right='second << DIGEST_BITS | int.from_bytes(digest[:4], "big") >> (32 - DIGEST_BITS)',
        wrong="second",
        tests=("tests/metering/test_sources_store.py::TestAdapted",),
    ),
    "what was not stored is not taken again within its hour": Defect(
        file="metering/ingest.py",
        right="            sources.forget(at)",
        wrong="            pass",
        tests=("tests/metering/test_sources_store.py::TestAdapted",),
    ),
    "a month is adjusted and issued anew": Defect(
        file="billing/io/corrections.py",
        right="            await _Q.withdraw_adjustments(",
        wrong="            _ = lambda: _Q.withdraw_adjustments(",
        tests=("tests/billing/test_correct.py::TestAnAdjustment",),
    ),
    "the month after a corrected register is forgotten": Defect(
        file="billing/remeasure.py",
        right="            changed.add(start)",
        wrong="            changed = changed or {start}",
        tests=("tests/billing/test_correct.py::TestACorrectedRegister",),
    ),
    "a cancellation keeps the sign of its VAT": Defect(
        file="billing/correction.py",
        right="        vat_minor=-bill.vat_minor,\n        total_minor=-bill.total_minor,",
        wrong="        vat_minor=bill.vat_minor,\n"
        "        total_minor=bill.vat_minor - bill.net_minor,",
        tests=("tests/billing/test_correct.py::TestACorrectedRegister",),
    ),
    "a bill is corrected while its debit is at the bank": Defect(
        file="billing/correct.py",
        right="    return debit.sends > 0 or debit.state in MAY_HAVE_REACHED_BANK",
        wrong="    return debit.sends > 99",
        tests=("tests/billing/test_correct_money.py::TestADebit",),
    ),
    "credit pays what a debit is paying": Defect(
        file="billing/credit.py",
        right="if after[one.bill_no] > 0 and not one.busy]",
        wrong="if after[one.bill_no] > 0]",
        tests=("tests/billing/test_correct_money.py::TestCredit",),
    ),
    "the next month opens with the register of the old bill": Defect(
        file="sql/usage.sql",
        right="coalesce(anew.closing_register_dm3, earlier.closing_register_dm3)",
        wrong="earlier.closing_register_dm3",
        tests=("tests/billing/test_correct.py::TestACorrectedRegister",),
    ),
    "vouchers pay in the order in which they were entered": Defect(
        file="sql/vouchers.sql",
        right="ORDER BY u.valid_to, u.voucher_no",
        wrong="ORDER BY u.voucher_no",
        tests=("tests/billing/test_voucher.py::TestTheRun",),
    ),
    "a penalty grows beyond what was owed": Defect(
        file="billing/penalty.py",
        right="return min(self.uncapped_minor, max(0, self.principal_minor - self.charged_minor))",
        wrong="return self.uncapped_minor",
        tests=("tests/billing/test_penalty.py::TestThePublishedFormula",),
    ),
    "a penalty is charged on a penalty": Defect(
        file="billing/debt.py",
        right="if Account.PENALTY not in {one.debit_code, one.credit_code} and one.posted_at",
        wrong="if one.posted_at",
        tests=("tests/billing/test_penalty_run.py::TestALateBill",),
    ),
    "a slow bank makes the resident late": Defect(
        file="billing/debt.py",
        right="yield (first or one).posted_at, sign",
        wrong="yield one.posted_at, sign",
        tests=("tests/billing/test_penalty.py::TestDebts",),
    ),
    "a sum that a debit asks for is carried beside it": Defect(
        file="sql/bills.sql",
        right="AND d.state NOT IN (\n                    'settled', 'reconciled', 'failed',",
        wrong="AND d.state NOT IN (\n"
        "                    'noticed', 'settled', 'reconciled', 'failed',",
        tests=("tests/billing/test_minimum_bill.py::TestASmallBill",),
    ),
    "a small final bill is never asked for": Defect(
        file="sql/debits.sql",
        right="OR EXISTS (SELECT FROM account_closing c WHERE c.account_id = b.account_id)",
        wrong="",
        tests=("tests/billing/test_minimum_bill.py::TestASmallBill",),
    ),
    "gas between two accounts is nobody's": Defect(
        file="billing/io/moves.py",
        right="if wanted.register_dm3 not in {None, last.closing_dm3}:",
        wrong="if False:",
        tests=("tests/billing/test_moves.py::TestMovingIn",),
    ),
    "a meter is hung up at an account that has ended": Defect(
        file="billing/io/accounts.py",
        right="if await _Q.has_ended(conn, account_id=account_id):",
        wrong="if False:",
        tests=("tests/billing/test_moves.py::TestAnAccountThatHasEnded",),
    ),
    "an event of the bank is forgotten after a month": Defect(
        file="sql/bank_events.sql",
        right="WHERE NOT EXISTS (SELECT FROM bank_event e WHERE e.event_id = one.event_id)",
        wrong="WHERE NOT EXISTS (SELECT FROM bank_event e WHERE e.event_id = one.event_id"
        " AND e.handled_at > :at::timestamptz - interval '30 days')",
        tests=("tests/billing/test_hear.py::TestAReplay",),
    ),
    "a mark of what was opened skips what was kept late": Defect(
        file="sql/bank_events.sql",
        right="WHERE handled_at IS NULL\nORDER BY received_at",
        wrong="WHERE handled_at IS NULL AND received_at >= (SELECT coalesce(max(d.received_at),"
        " '-infinity') FROM webhook_delivery d WHERE d.handled_at IS NOT NULL)\n"
        "ORDER BY received_at",
        tests=("tests/billing/test_hear.py::TestHear",),
    ),
    "the cursor of the bank's list skips what is put behind it": Defect(
        file="billing/follow.py",
        right="            await _look_back(store, bank, cursor, counts, at=at)\n",
        wrong="",
        tests=("tests/billing/test_hear.py::TestTheOverlap",),
    ),
    "a body is parsed before its signature is checked": Defect(
        file="billing/io/api_hooks.py",
        right="        number = signer(letter.content,",
        wrong='        __import__("json").loads(letter.content)\n'
        "        number = signer(letter.content,",
        tests=("tests/app/test_hooks_api.py::TestAnUnsignedBody",),
    ),
    "an event moves a debit without a look at the payment": Defect(
        file="billing/follow.py",
        right='    payment = read.payments[event.links["payment"]]\n',
        wrong='    payment = read.payments[event.links["payment"]]\n'
        "    if isinstance(payment, Payment):\n"
        '        payment = __import__("dataclasses").replace(\n'
        "            payment, status=type(payment.status)(event.action)\n"
        "        )\n",
        tests=("tests/billing/test_hear.py::TestHear",),
    ),
    "an event that breaks late stops the batch": Defect(
        file="billing/follow.py",
        right="            outcome = await _set_aside(store, event, error, at=at)",
        wrong="            raise",
        tests=("tests/billing/test_hear.py::TestAPoisonEvent",),
    ),
    "a failure of the bank's own retry is not heard": Defect(
        file="billing/turn.py",
        right="or (status is PaymentStatus.FAILED and _failed_again(debit, word))",
        wrong="",
        tests=("tests/billing/test_turns.py::TestTheBanksRetry",),
    ),
    "a dispute of money that nobody heard of is no news": Defect(
        file="billing/turn.py",
        right="status is PaymentStatus.CHARGED_BACK and _came_and_went(debit)",
        wrong="False",
        tests=("tests/billing/test_turns.py::TestADispute",),
    ),
    "a payment for what an old backup had forgotten is a stranger's": Defect(
        file="sql/debits.sql",
        right="AND (idempotency_key IS NOT NULL OR state IN ('cancelled', 'exhausted'));",
        wrong="AND idempotency_key IS NOT NULL;",
        tests=(
            "tests/billing/test_turns.py::TestADispute",
            "tests/contract/test_debit_store.py::TestAStep",
        ),
    ),
    "an old event says why a debit failed": Defect(
        file="billing/turn.py",
        right="cause=cause_of(failures[0]) if failures",
        wrong="cause=cause_of(failures[-1]) if failures",
        tests=("tests/billing/test_hear.py::TestHear",),
    ),
    "a notice is sent while the run is stopped": Defect(
        file="sql/messages.sql",
        right="AND (kind <> 'notice' OR NOT EXISTS (SELECT FROM open_run_stop))",
        wrong="",
        tests=("tests/billing/test_deliver.py::TestAStoppedRun",),
    ),
    "a poison event stops the batch": Defect(
        file="billing/follow.py",
        right="        if len(events) == 1:",
        wrong="        if True:\n            raise\n        if len(events) == 1:",
        tests=("tests/billing/test_hear.py::TestAPoisonEvent",),
    ),
    "one person lets a stopped run go on": Defect(
        file="billing/breaker.py",
        right="    if any(same_person(one.released_by, by) for one in stop.releases):",
        wrong="    if False:",
        tests=("tests/billing/test_watch.py::TestARelease",),
    ),
    "what was not asked for counts as sent": Defect(
        file="billing/ask.py",
        right="return Outcome(event=event, reason=NOT_ASKED, sent=not order.post)",
        wrong="return Outcome(event=event, reason=NOT_ASKED)",
        tests=("tests/billing/test_collect_send.py::TestSend",),
    ),
    "a doubt is forgotten when it is not asked about": Defect(
        file="billing/ask.py",
        right="fresh = order.post and order.debit.sends == 1",
        wrong="fresh = order.post",
        tests=("tests/billing/test_collect_send.py::TestSend",),
    ),
    "two debits of an account hold each other back": Defect(
        file="billing/collect.py",
        right="by_account[one.debit_id.account_id].append(one)",
        wrong="by_account[one.debit_id.account_id + one.debit_id.bill_no].append(one)",
        tests=("tests/billing/test_collect.py",),
    ),
    "what others are at work on is recorded all the same": Defect(
        file="sql/debits.sql",
        right="JOIN debit d USING (account_id, bill_no, attempt)\nWHERE d.state = 'noticed'\n",
        wrong="JOIN debit d USING (account_id, bill_no, attempt)\n",
        tests=("tests/contract/test_debit_store.py::TestManyAtOnce",),
    ),
    "one broken debit keeps all others from being recorded": Defect(
        file="billing/together.py",
        right="        trouble = error\n",
        wrong="        raise\n",
        tests=("tests/billing/test_collect.py::TestRecord",),
    ),
    "a debit follows a second payment": Defect(
        file="billing/news.py",
        right="        same = unheard or debit.bank_payment_id == payment.payment_id\n",
        wrong="        same = True\n",
        tests=("tests/billing/test_bad_news.py",),
    ),
    "two debits go by one payment": Defect(
        file="billing/send.py",
        right="if answer.named and holders.get(answer.named, debit.debit_id) != debit.debit_id:",
        wrong="if False:",
        tests=("tests/billing/test_collect_send.py::TestSend",),
    ),
    "a stopped run makes a lost order fail": Defect(
        file="billing/ask.py",
        right="return _lost(debit, order.waits)",
        wrong='return _Outcome(event=Event.FAIL, reason="run_stopped")',
        tests=("tests/billing/test_watch.py::TestAStoppedRun",),
    ),
    "a stopped run repeats a lost order": Defect(
        file="billing/send.py",
        right="post = claim.wanted and not claim.frozen and not claim.stopped and in_time",
        wrong="post = claim.wanted and not claim.frozen and in_time",
        tests=("tests/billing/test_watch.py::TestAStoppedRun",),
    ),
    "a stopped run takes up what was never sent": Defect(
        file="sql/debits.sql",
        right="OR NOT EXISTS (SELECT FROM open_run_stop)",
        wrong="OR true",
        tests=("tests/billing/test_watch.py::TestAStoppedRun",),
    ),
    "the same facts stop the run again": Defect(
        file="billing/watch.py",
        right="return at - back if released is None else max(released, at - back)",
        wrong="return at - back",
        tests=("tests/billing/test_watch.py::TestARelease",),
    ),
    "the simulated bank takes a refused webhook for delivered": Defect(
        file="simulators/bank/webhooks.py",
        right="200 <= self.code < 300",
        wrong="200 <= self.code < 600",
        tests=("tests/simulators/test_bank_webhooks.py::TestRetry",),
    ),
    "the simulated bank follows the redirect of an endpoint": Defect(
        file="simulators/bank/postman.py",
        right="allow_redirects=False",
        wrong="allow_redirects=True",
        tests=("tests/simulators/test_bank_webhooks.py::TestRetry",),
    ),
    "the simulated bank knows a key for ever": Defect(
        file="simulators/bank/door.py",
        right="since = stamp(bank.at - timedelta(days=KEY_DAYS))",
        wrong='since = ""',
        tests=("tests/simulators/test_bank_answer_faults.py::TestKey",),
    ),
    "a replica of the simulated bank lags by nothing": Defect(
        file="simulators/bank/store.py",
        right="        self._seen_until = instant\n",
        wrong="",
        tests=("tests/simulators/test_bank_answer_faults.py::TestStaleRead",),
    ),
    "a statement of the simulated bank begins with nothing every day": Defect(
        file="simulators/bank/statement.py",
        right="opening_minor = sum(line.amount_minor for line in before)",
        wrong="opening_minor = 0 * len(before)",
        tests=("tests/simulators/test_bank_statement.py::TestStatement",),
    ),
    "a statement that is written anew is told again": Defect(
        file="billing/io/file_news.py",
        right="        return list(_fresh(told, news)), True",
        wrong="        return told, True",
        tests=("tests/billing/test_bank_files.py::TestTheInbox",),
    ),
    "the account bears a payment as often as it is told": Defect(
        file="sql/recon.sql",
        right="count(*) FILTER (WHERE i.kind = :kind::text) - count(*) FILTER",
        wrong="99 + count(*) FILTER (WHERE i.kind = :kind::text) - count(*) FILTER",
        tests=("tests/billing/test_bank_recon.py::TestWhatTheBankTakesBackFromTheAccount",),
    ),
}

DEFECTS |= {
    "a payment that nobody ordered does not freeze its mandate": Defect(
        file="billing/bank_recon.py",
        right="    frozen = await run.store.freeze(\n"
        "        mandate.account_id, mandate.mandate_id, because=because, at=run.at\n    )",
        wrong="    frozen = bool(because) and False",
        tests=("tests/billing/test_bank_recon.py::TestAPaymentWeDoNotKnow",),
    ),
    "tenths of a payout go through a float": Defect(
        file="billing/payout.py",
        right='    whole = int(units) * TENTHS_PER_MINOR + int(digit or "0")',
        wrong='    whole = int(float(f"{units}.{digit or 0}") * TENTHS_PER_MINOR)',
        tests=("tests/billing/test_payout.py::TestTenths",),
    ),
    "a break is opened every day anew": Defect(
        file="sql/recon.sql",
        right="WHERE NOT EXISTS (SELECT FROM seen s"
        " WHERE s.kind = f.kind AND s.subject = f.subject)\n  AND NOT EXISTS (",
        wrong="WHERE NOT EXISTS (",
        tests=("tests/billing/test_bank_recon.py::TestABreak",),
    ),
    "a payout that is off by one unit is not seen": Defect(
        file="billing/breaks.py",
        right="    if total != payout.amount_minor * TENTHS_PER_MINOR:",
        wrong="    if abs(total - payout.amount_minor * TENTHS_PER_MINOR) > TENTHS_PER_MINOR:",
        tests=("tests/billing/test_bank_recon.py::TestWhatTheBankMaySayOtherwise",),
    ),
    "an order is sent under a frozen mandate": Defect(
        file="sql/debits.sql",
        right="    AND (NOT f.frozen OR d.sends > 0",
        wrong="    AND (true OR d.sends > 0",
        tests=("tests/billing/test_frozen_mandate.py",),
    ),
    "a leftover ticket is presented as an order": Defect(
        file="billing/io/file_box.py",
        right="                if ticket.stat().st_ino == inode:",
        wrong="                if inode:",
        tests=("tests/billing/test_bank_files.py::TestTheOutbox",),
    ),
    "an order to a bank without an API is named anew each time": Defect(
        file="billing/iso/pain008.py",
        right="hashlib.sha256(key.encode()).hexdigest()[:_NAME_DIGITS]",
        wrong="hashlib.sha256(__import__('os').urandom(8)).hexdigest()[:_NAME_DIGITS]",
        tests=("tests/billing/test_pain_files.py::TestAnOrder",),
    ),
    "a silent bank closes what could not be looked at": Defect(
        file="billing/bank_recon.py",
        right="    await _payouts(run)\n",
        wrong="    try:\n        await _payouts(run)\n    except Exception:\n        pass\n",
        tests=("tests/billing/test_bank_recon.py::TestABreak",),
    ),
    "a receipt is written for every news of the same money": Defect(
        file="billing/told.py",
        right="        kind = None if believed else Kind.RECEIPT\n",
        wrong="        kind = Kind.RECEIPT\n",
        tests=("tests/billing/test_notices_by_mail.py::TestMoney",),
    ),
    "a receipt goes out before the commit of its money": Defect(
        file="billing/io/debits.py",
        right="        async with self._pool.acquire() as connection, connection.transaction():\n",
        wrong="        async with self._pool.acquire() as connection:\n",
        tests=("tests/billing/test_notices_by_mail.py::TestMoney",),
    ),
    "a debit is noticed though its letter is not delivered": Defect(
        file="billing/io/telling.py",
        right="        return told_at\n",
        wrong="        return told_at or at\n",
        tests=("tests/billing/test_notices_by_mail.py::TestANotice",),
    ),
    "a change of the address is told to the new one only": Defect(
        file="sql/contacts.sql",
        right="    AND (replaced_at IS NULL OR replaced_at > :since)",
        wrong="    AND (replaced_at IS NULL AND :since IS NOT NULL)",
        tests=("tests/billing/test_contact.py::TestAChange",),
    ),
    "a line of an address becomes a header": Defect(
        file="billing/contact.py",
        right="""    if len(text) > ADDRESS_MAX or not _ADDRESS.match(text):""",
        wrong="""    if len(text) > ADDRESS_MAX or "@" not in text:""",
        tests=("tests/contract/test_mailer.py::TestHeaders", "tests/billing/test_contact.py"),
    ),
    "a line of a subject becomes a header": Defect(
        file="billing/mail.py",
        right="        if _CONTROL.search(self.subject) or not",
        wrong="        if not",
        tests=("tests/contract/test_mailer.py::TestHeaders",),
    ),
    "an unclear answer of a relay counts as delivered": Defect(
        file="billing/io/smtp.py",
        right="""            return Unsure(reason="outcome_unknown")""",
        wrong="""            return Sent()""",
        tests=("tests/contract/test_mailer.py::TestMailers",),
    ),
    "a mail that is sent again has another name": Defect(
        file="billing/mail.py",
        right='(f"{account_id} {message_id}".encode()).hexdigest()[:40]',
        wrong='(__import__("os").urandom(8)).hexdigest()[:40]',
        tests=("tests/billing/test_deliver.py::TestARelay",),
    ),
    "the outbox counts up to where it has sent": Defect(
        file="sql/messages.sql",
        right="    WHERE state IN ('queued', 'sending') AND next_try_at <= :at\n",
        wrong="""    WHERE state IN ('queued', 'sending') AND next_try_at <= :at
      AND queued_at >= coalesce(
          (SELECT max(queued_at) FROM message WHERE state = 'sent' AND kind = 'receipt'),
          queued_at
      )
""",
        tests=("tests/billing/test_deliver.py::TestAMessage",),
    ),
    "a broken cable gives up the letters of a town": Defect(
        file="billing/message.py",
        right="state=State.QUEUED, tries=tries, next_try_at=at + FIRST_WAIT",
        wrong="state=State.QUEUED, tries=tries + 1, next_try_at=at + FIRST_WAIT",
        tests=("tests/billing/test_deliver.py::TestARelay",),
    ),
    "a password goes over an open line": Defect(
        file="billing/io/smtp.py",
        right="start_tls=False if relay.tls else None if relay.local else True,",
        wrong="start_tls=False if relay.tls else None,",
        tests=("tests/contract/test_mailer.py::TestSmtp",),
    ),
    "resuming ends the cooling off of a new bank account": Defect(
        file="billing/enrol.py",
        right="        if wish is not Enrolment.CANCELLED:",
        wrong="        if wish is Enrolment.PAUSED:",
        tests=("tests/billing/test_account_change.py::TestAPause",),
    ),
    "a new bank account is debited while it cools off": Defect(
        file="billing/link.py",
        right="enrolment=Enrolment.WAITING if waits else Enrolment.ACTIVE,",
        wrong="enrolment=Enrolment.ACTIVE,",
        tests=("tests/billing/test_account_change.py",),
    ),
    "what is sent is called taken": Defect(
        file="billing/money_state.py",
        right="        State.SUBMITTED: MoneyState.SENT,",
        wrong="        State.SUBMITTED: MoneyState.TAKEN,",
        tests=("tests/billing/test_money_state.py",),
    ),
    "the simulated bank pays out what failed before its payout": Defect(
        file="simulators/bank/settlement.py",
        right='            bank.store.remove(item["id"])\n            return False',
        wrong="            return False",
        tests=("tests/simulators/test_bank_conserves.py::TestBooks",),
    ),
    "the simulated bank rounds the fees of a payout the wrong way": Defect(
        file="simulators/bank/settlement.py",
        right='fee["hidden"]["tenths"] -= rest',
        wrong='fee["hidden"]["tenths"] -= 0',
        tests=("tests/simulators/test_bank_money.py::TestPayout",),
    ),
    "the simulated bank keeps the fee of what came back": Defect(
        file="simulators/bank/settlement.py",
        right="    if fees:\n        _add(bank, FEE, -fees",
        wrong="    if fees > 0:\n        _add(bank, FEE, -fees",
        tests=("tests/simulators/test_bank_money.py::TestPayout",),
    ),
    "the simulated bank tells twice of what a bounced payout paid": Defect(
        file="simulators/bank/payouts.py",
        right='if item["type"] in TELLS and not item["hidden"]["again"]:',
        wrong='if item["type"] in TELLS:',
        tests=("tests/simulators/test_bank_conserves.py::TestBooks",),
    ),
    "the simulated bank refunds more than was paid": Defect(
        file="simulators/bank/refunds.py",
        right='if payment["amount_refunded"] + amount > payment["amount"]:',
        wrong='if amount > payment["amount"]:',
        tests=("tests/simulators/test_bank_money.py::TestRefund",),
    ),
    "the simulated bank refunds blindly": Defect(
        file="simulators/bank/refunds.py",
        right='if payment["amount_refunded"] + amount != confirmed:',
        wrong="if confirmed is None:",
        tests=("tests/simulators/test_bank_money.py::TestRefund",),
    ),
    "the simulated bank refunds what was charged back": Defect(
        file="simulators/bank/refunds.py",
        right='REFUNDABLE: Final = frozenset({"confirmed", "paid_out"})',
        wrong='REFUNDABLE: Final = frozenset({"confirmed", "paid_out", "charged_back"})',
        tests=("tests/simulators/test_bank_money.py::TestRefund",),
    ),
    "the simulated bank retries without minding the caps": Defect(
        file="simulators/bank/collection.py",
        right="    return not any(found)",
        wrong="    return True",
        tests=("tests/simulators/test_bank_caps.py::TestCaps",),
    ),
    "the simulated bank retries for ever": Defect(
        file="simulators/bank/collection.py",
        right='["retries"] >= RETRIES_MAX or not may_present(bank, payment):\n        return False',
        wrong='["retries"] < 0 or not may_present(bank, payment):\n        return False',
        tests=("tests/simulators/test_bank_lives.py::TestPayment",),
    ),
    "the simulated bank charges on a holiday": Defect(
        file="simulators/bank/payments.py",
        right="return bank.profile.calendar.roll(day)",
        wrong="return day",
        tests=("tests/simulators/test_bank_workdays.py::TestChargeDate",),
    ),
    "the simulated bank leaves payments behind when a mandate ends": Defect(
        file="simulators/bank/mandates.py",
        right="        _end(bank, mandate, note.details or usual, event)",
        wrong='        bank.store.strike_all(mandate["id"])',
        tests=("tests/simulators/test_bank_lives.py::TestPayment",),
    ),
    "the simulated bank hears of a notice after its deadline": Defect(
        file="simulators/bank/notifications.py",
        right='if late or notification["action_taken"] is not None:',
        wrong='if notification["action_taken"] is not None:',
        tests=("tests/simulators/test_bank_notifications.py::TestNotification",),
    ),
    "what was given back is taken again": Defect(
        file="sql/debits.sql",
        right="    AND 'refunds_payable' NOT IN (debit_code, credit_code);",
        wrong="    AND true;",
        tests=("tests/billing/test_give_back.py::TestTheNextAttempt",),
    ),
    "a refund goes out beside a chargeback": Defect(
        file="billing/pay_back.py",
        right="first, because = refund.first_sent_at, hindrance(refund, debit)",
        wrong="first, because = refund.first_sent_at, None",
        tests=("tests/billing/test_give_back.py::TestChargeback",),
    ),
    "a refund is recorded beside a chargeback": Defect(
        file="billing/give_back.py",
        right="        because = hindrance(refund, debit)\n",
        wrong="        because = None\n",
        tests=("tests/billing/test_give_back.py::TestChargeback",),
    ),
    "a refund is asked again with a fresh key": Defect(
        file="billing/pay_back.py",
        right="await bank.create_refund(refund.body, refund.idempotency_key)",
        wrong='await bank.create_refund(refund.body, f"{refund.key}-{refund.sends}")',
        tests=("tests/billing/test_give_back.py::TestExactlyOnce",),
    ),
    "a lost answer to a refund is taken for none": Defect(
        file="billing/pay_back.py",
        right="        case Unknown(reason=reason):\n            return _lost(refund, reason)",
        wrong="        case Unknown(reason=reason):\n"
        "            return _Outcome(event=RefundEvent.REFUSE, reason=reason)",
        tests=("tests/billing/test_give_back.py::TestExactlyOnce",),
    ),
    "a refusal is believed although an earlier order may have got through": Defect(
        file="billing/pay_back.py",
        right="    if order.refund.sends > 1 or reason == MISCOUNTED:",
        wrong="    if reason == MISCOUNTED:",
        tests=("tests/billing/test_give_back.py::TestExactlyOnce",),
    ),
    "refunds together may be more than was taken": Defect(
        file="billing/refund_order.py",
        right="given_minor + wanted.amount_minor > debit.amount_minor:",
        wrong="wanted.amount_minor > debit.amount_minor:",
        tests=("tests/billing/test_give_back.py::TestLimits",),
    ),
    "two refunds of a payment are asked for at once": Defect(
        file="billing/io/refunds.py",
        right="row = await _DEBITS.lock_debit(self._db, **asdict(debit_id))",
        wrong="row = await _Q.debit(self._db, **asdict(debit_id))",
        tests=("tests/billing/test_give_back.py::TestLimits",),
    ),
    "a refund does not wait for what the bank may have counted": Defect(
        file="billing/give_back.py",
        right="any(one.state in UNCERTAIN for one in others)",
        wrong="any(one.state in () for one in others)",
        tests=("tests/billing/test_give_back.py::TestLimits",),
    ),
    "a refund does not follow what was taken beside another attempt": Defect(
        file="billing/news.py",
        right="if payment.status in TAKEN_BY_BANK and debit.bank_payment_id is not None:",
        wrong="if False:",
        tests=("tests/billing/test_give_back.py::TestDoubleDebit",),
    ),
    "money that came back is sent again by itself": Defect(
        file="sql/refunds.sql",
        right="WHERE NOT r.failed AND d.amount_minor > r.asked_minor",
        wrong="WHERE d.amount_minor > r.asked_minor",
        tests=("tests/billing/test_give_back.py::TestGiveBack",),
    ),
    "a late failure is booked twice": Defect(
        file="billing/debit_moves.py",
        right="    if debit.state not in FINAL or page.lies_on is not _DISPUTED:",
        wrong="    if debit.state not in FINAL:",
        tests=("tests/billing/test_debit_moves.py",),
    ),
    "what the bank takes back after the payout is booked as if it had not been paid out": Defect(
        file="billing/debit_moves.py",
        right="        (Goal.GIVEN_UP, _BANK): (DebitMove.REVERSAL_AFTER_PAYOUT,),",
        wrong="        (Goal.GIVEN_UP, _BANK): (DebitMove.REVERSAL,),",
        tests=("tests/billing/test_debit_moves.py",),
    ),
    "a payout that bears a refund is taken for its payment": Defect(
        file="billing/refund.py",
        right="    paid = event is RefundEvent.PAY\n",
        wrong="    paid = settled or event is RefundEvent.PAY\n",
        tests=("tests/billing/test_refund.py::TestMerge",),
    ),
    "money is a float": Defect(
        file="billing/refund_order.py",
        right='            "amount": refund.amount_minor,',
        wrong='            "amount": int(float(refund.amount_minor)),',
        tests=("tests/house/test_house.py::TestMoney",),
    ),
    "the town's own rows are left out of the trial balance": Defect(
        file="sql/ledger.sql",
        right="FROM town_transfer WHERE posted_at < :end_at::timestamptz",
        wrong="FROM town_transfer WHERE false AND posted_at < :end_at::timestamptz",
        tests=("tests/billing/test_books.py::TestTrialBalance",),
    ),
    "a key is known to one process only": Defect(
        file="billing/debit.py",
        right='return f"{KEY}:{self.account_id}:{self.bill_no}:{self.attempt}"',
        wrong='return f"{KEY}:{self.account_id}:{self.bill_no}:{id(self)}"',
        tests=("tests/billing/test_debit.py::TestOrder",),
    ),
    "a bill is asked for while the bank asks for it again by itself": Defect(
        file="billing/notice.py",
        right='"bank_retries": False,',
        wrong='"bank_retries": True,',
        tests=("tests/billing/test_turns.py::TestTheBanksRetry",),
    ),
    "a retry does not wait for its day": Defect(
        file="billing/notice.py",
        right="and all(day is not None and day <= today for day in waiting)",
        wrong="and True",
        tests=("tests/billing/test_debit_notice.py::TestAnotherAttempt",),
    ),
    "news is taken to come in its order": Defect(
        file="billing/debit.py",
        right="ahead = _PROGRESS[step(State.ACCEPTED, event)] > _PROGRESS[state]",
        wrong="ahead = True",
        tests=("tests/billing/test_debit.py::TestMerge",),
    ),
    "an attempt begins while another is alive": Defect(
        file="billing/notice.py",
        right="all(one.state in {State.FAILED, State.RETRY_DUE, State.CANCELLED} for one in past)",
        wrong="True",
        tests=("tests/billing/test_debit_notice.py::TestAnotherAttempt",),
    ),
    "a sum over the cap is split": Defect(
        file="billing/announce.py",
        right="amount_minor=owed_minor,",
        wrong="amount_minor=min(owed_minor, mandate.caps.payment_minor_max),",
        tests=("tests/billing/test_collect.py::TestNotice",),
    ),
    "money taken against a resident's word stays where it is": Defect(
        file="billing/news.py",
        right="if too_late(after) and debit.state not in TAKEN:",
        wrong="if False:",
        tests=("tests/billing/test_collect_withdraw.py::TestWithdraw",),
    ),
    "a resident's no is forgotten when the bank's news comes first": Defect(
        file="billing/news.py",
        right="if debit.state is State.ACCEPTED and await unwanted(desk, debit, mandate):",
        wrong="if False:",
        tests=("tests/billing/test_collect_withdraw.py::TestWithdraw",),
    ),
    "a notice counts before it is delivered": Defect(
        file="billing/announce.py",
        right="        noticed_at=told_at,",
        wrong="        noticed_at=at,",
        tests=("tests/billing/test_announce.py::TestALetter",),
    ),
    "a notice forgets that banks have holidays": Defect(
        file="billing/workdays.py",
        right="return day.weekday() < _SATURDAY and day not in _closed(days, day.year)",
        wrong="return day.weekday() < _SATURDAY",
        tests=("tests/billing/test_workdays.py",),
    ),
    "an old status takes a chargeback back": Defect(
        file="billing/turn.py",
        right="debit.state is State.CHARGED_BACK and word.turn == RESTORED:",
        wrong="debit.state is State.CHARGED_BACK:",
        tests=("tests/billing/test_turns.py::TestADispute",),
    ),
    "one person's word counts twice": Defect(
        file="billing/decision.py",
        right="return any(not same_person(one, same[-1]) for one in same)",
        wrong="return len(same) > 1",
        tests=("tests/billing/test_decide.py::TestADecision",),
    ),
    "a person forgets what the bank has": Defect(
        file="billing/decision.py",
        right='return "bank_has_it"',
        wrong="return None",
        tests=("tests/billing/test_decide.py::TestADecision",),
    ),
    "a person forgets what the bank has by naming another payment": Defect(
        file="billing/decide.py",
        right="    return Shown(named=named, ours=tuple(found))",
        wrong="    return Shown(named=named, ours=() if named is None else (named,))",
        tests=("tests/billing/test_decide.py::TestADecision",),
    ),
    "a person forgets what the bank does not list yet": Defect(
        file="billing/decision.py",
        right="if unheard and at < debit.changed_at + LISTED_AFTER",
        wrong="if unheard and at < debit.changed_at",
        tests=("tests/billing/test_decide.py::TestADecision",),
    ),
    "a payment that became another one is booked": Defect(
        file="billing/news.py",
        right='        if not same or not is_ours(debit, payment, mandate.bank_mandate_id or ""):',
        wrong='        if unheard and not is_ours(debit, payment, mandate.bank_mandate_id or ""):',
        tests=("tests/billing/test_bad_news.py::TestNews",),
    ),
    "the mandate of another customer is linked": Defect(
        file="billing/adopt.py",
        right="if holder is not None and holder.account_id != mandate.account_id:",
        wrong="if holder is None:",
        tests=("tests/billing/test_link.py::TestFinish",),
    ),
    "an answer about something else is believed": Defect(
        file="billing/io/bank_wire.py",
        right="    if asked is not None and found != asked:",
        wrong="    if asked is not None and not found:",
        tests=("tests/contract/test_bank_adapter.py::TestQuestion",),
    ),
    "a refund that became another one is booked": Defect(
        file="billing/refund_news.py",
        right="        if not unheard and not is_our_refund(",
        wrong="        if unheard and not is_our_refund(",
        tests=("tests/billing/test_give_back.py::TestExactlyOnce",),
    ),
    "a bank account cools off before it is named": Defect(
        file="billing/adopt.py",
        right="            elif now.bank_mandate_id is None and after.bank_mandate_id is not None:",
        wrong="            elif now.bank_mandate_id is not None and after.bank_mandate_id is None:",
        tests=("tests/billing/test_account_change.py",),
    ),
    "a payment with an unknown status counts as heard": Defect(
        file="billing/follow.py",
        right="    if payment.status is None:\n",
        wrong="    if False:\n",
        tests=("tests/billing/test_hear.py::TestAnUnknownStatus",),
    ),
    "a mandate with an unknown status counts as heard": Defect(
        file="billing/follow.py",
        right="    if not understood:\n",
        wrong="    if False:\n",
        tests=("tests/billing/test_hear.py::TestAnUnknownStatus",),
    ),
    "a refund with an unknown status counts as heard": Defect(
        file="billing/refund_news.py",
        right="    if found.status is None:\n        return await aside(",
        wrong="    if False:\n        return await aside(",
        tests=("tests/billing/test_hear.py::TestAnUnknownStatus",),
    ),
    "the bank is heard after we have ordered": Defect(
        file="billing/collect.py",
        right="        follow=await follow(store=store, bank=bank, at=at, limit=limit),\n"
        "        retired=await retire(store=store, at=at, limit=limit),\n"
        "        notice=await notice(store=store, at=at, zone=zone, limit=limit),\n"
        "        record=await record(store=store, at=at, zone=zone, limit=limit),\n",
        wrong="        retired=await retire(store=store, at=at, limit=limit),\n"
        "        notice=await notice(store=store, at=at, zone=zone, limit=limit),\n"
        "        record=await record(store=store, at=at, zone=zone, limit=limit),\n"
        "        follow=await follow(store=store, bank=bank, at=at, limit=0),\n",
        tests=("tests/billing/test_give_way.py",),
    ),
    "an attempt is ordered although the bank has a later one": Defect(
        file="billing/give_way.py",
        right="    if earlier is None or earlier.attempt > later.attempt or",
        wrong="    if earlier is None or earlier.attempt < later.attempt or",
        tests=("tests/billing/test_give_way.py",),
    ),
    "an attempt whose payment comes behind a later one's is a person's": Defect(
        file="billing/give_way.py",
        right="    if await find_payment(",
        wrong="    if False and await find_payment(",
        tests=("tests/billing/test_give_way.py",),
    ),
    "the bill of a forgotten attempt is never asked for again": Defect(
        file="billing/notice.py",
        right='        "later_attempt",\n',
        wrong="",
        tests=("tests/billing/test_give_way.py",),
    ),
    "an order is written on an account that does not exist": Defect(
        file="billing/iso/pain008.py",
        right="if not _IBAN.match(self.iban) or not iban_adds_up(self.iban):",
        wrong="if not _IBAN.match(self.iban):",
        tests=("tests/billing/test_pain_files.py::TestAPayer",),
    ),
    "one letter that cannot be written hides the others": Defect(
        file="billing/io/api_messages.py",
        right="            letter = None\n",
        wrong="            raise\n",
        tests=("tests/app/test_messages_api.py::TestMessages",),
    ),
    "the audit does not see a lost receipt": Defect(
        file="billing/proof_told.py",
        right="    for name in sorted(meant - facts.told):",
        wrong="    for name in sorted(meant & facts.told - meant):",
        tests=("tests/billing/test_audit_told.py::TestAPlantedDefect",),
    ),
    "a correction is not written for money that went back": Defect(
        file="billing/told.py",
        right="    elif state in FINAL and believed:\n        kind = Kind.CORRECTION",
        wrong="    elif state in FINAL and believed:\n        kind = None",
        tests=("tests/billing/test_audit_told.py::TestWhatTheServiceTells",),
    ),
    "a refund is borne by the account as often as the bank likes": Defect(
        file="sql/recon.sql",
        right="WHERE f.copy_no = 1\n"
        "    AND NOT EXISTS (SELECT FROM statement_line k WHERE k.known_as = f.known_as)",
        wrong="WHERE true",
        tests=("tests/billing/test_bank_recon.py::TestALineOfARefund",),
    ),
    "the books of the simulated bank forget refunds": Defect(
        file="simulators/bank/control.py",
        right="    collected_minor = sum(by_status[status] for status in TAKEN) - returned_minor",
        wrong="    collected_minor = sum(by_status[status] for status in TAKEN)",
        tests=("tests/simulators/test_bank_money.py::TestRefund",),
    ),
    "the simulated bank makes a mandate that the payer did not confirm": Defect(
        file="simulators/bank/billing_requests.py",
        right="    if CONFIRMED in done and name != CONFIRMED:",
        wrong="    if False:",
        tests=("tests/simulators/test_bank_asking.py::TestAnAgreement",),
    ),
    "the simulated bank lets the encoding of a body be guessed": Defect(
        file="simulators/bank/wire.py",
        right="json.loads(text.decode(), parse_constant=_refuse)",
        wrong="json.loads(text, parse_constant=_refuse)",
        tests=("tests/simulators/test_bank_odd_bytes.py::TestHalfASign",),
    ),
    "of two bounds of a list of the simulated bank the last holds": Defect(
        file="simulators/bank/listing.py",
        right='max(bounds[f"{kind}_from"], edge)',
        wrong="edge",
        tests=("tests/simulators/test_bank_wire.py::TestList",),
    ),
    "a bill whose debit was stopped is asked for again": Defect(
        file="sql/debits.sql",
        right="FROM debit_stop s WHERE s.account_id = b.account_id AND s.bill_no = b.bill_no",
        wrong="FROM debit_stop s WHERE false AND s.bill_no = b.bill_no",
        tests=("tests/contract/test_debit_store.py::TestLists",),
    ),
    "a debit that was stopped is sent all the same": Defect(
        file="sql/debits.sql",
        right="AND s.bill_no = d.bill_no\n    ) AND NOT EXISTS (",
        wrong="AND false\n    ) AND NOT EXISTS (",
        tests=("tests/billing/test_stop_debit.py::TestAtTheBank",),
    ),
    "a no to an attempt that was cancelled leaves the next one alone": Defect(
        file="billing/stop_debit.py",
        right="debit = await desk.other_alive(debit_id) or debit",
        wrong="debit = debit or await desk.other_alive(debit_id)",
        tests=("tests/billing/test_stop_debit.py::TestAnEarlierAttempt",),
    ),
    "a bill that was stopped is announced by whoever had read it before": Defect(
        file="billing/guard.py",
        right="    if facts.stopped:",
        wrong="    if facts.stopped and not debit.charge_on:",
        tests=("tests/billing/test_stop_debit.py::TestAnEarlierAttempt",),
    ),
    "an order for a bill in dispute is sent": Defect(
        file="sql/debits.sql",
        right="q.bill_no = d.bill_no\n    ) AS wanted",
        wrong="false\n    ) AS wanted",
        tests=("tests/billing/test_collect_withdraw.py::TestADispute",),
    ),
    "the bank is left with a payment for a bill in dispute": Defect(
        file="billing/news.py",
        right="        or await desk.is_disputed(debit.debit_id)\n",
        wrong="",
        tests=("tests/billing/test_collect_withdraw.py::TestADispute",),
    ),
    "what the bank asks for again by itself leaves the cap of the month alone": Defect(
        file="sql/debits.sql",
        right="d.state = 'failed' AND d.reason = 'bank_retries'\n            )\n    ) AS month",
        wrong="false\n            )\n    ) AS month",
        tests=("tests/billing/test_turns.py::TestTheBanksRetry",),
    ),
    "a letter of the bank's own retry names a day of ours that is over": Defect(
        file="billing/told.py",
        right="    if debit.state is not State.RETRY_DUE or debit.retry_on is None:",
        wrong="    if debit.retry_on is None:",
        tests=("tests/billing/test_turns.py::TestTheBanksRetry",),
    ),
    "a debit is taken weeks after the day that was told": Defect(
        file="billing/notice.py",
        right="    if debit.charge_on > notice.charge_on + LATE_MAX:",
        wrong="    if debit.charge_on > date.max:",
        tests=("tests/billing/test_collect.py::TestRecord",),
    ),
    "a notice that a hold took back counts all the same": Defect(
        file="sql/messages.sql",
        right="        AND s.to_state = 'held'",
        wrong="        AND s.to_state = 'nothing'",
        tests=("tests/billing/test_notices_by_mail.py::TestANotice",),
    ),
    "an order reaches the bank too late after a weekend": Defect(
        file="billing/workdays.py",
        right="ORDER_WORKING_DAYS: Final = 2",
        wrong="ORDER_WORKING_DAYS: Final = 1",
        tests=("tests/billing/test_workdays.py::TestOrderTime",),
    ),
    "an order reaches the bank too late after a holiday": Defect(
        file="billing/workdays.py",
        right="_after(today, days, calendar=lead_days, working=ORDER_WORKING_DAYS), days)",
        wrong="today, BankDays.KZ) + timedelta(days=lead_days)",
        tests=(
            "tests/billing/test_collect_with_bank.py::TestPath::test_goes_well_around_holidays",
        ),
    ),
    "a day is announced on which no bank is open": Defect(
        file="billing/notice.py",
        right="    return open_day(max(due_on, earliest_charge_day(today, days)), days)",
        wrong="    return max(due_on, earliest_charge_day(today, days))",
        tests=("tests/billing/test_announce.py::TestAHold", "tests/billing/test_debit_notice.py"),
    ),
    "a debit that was stopped is tried again": Defect(
        file="billing/retry.py",
        right="if days is None or await desk.is_stopped(debit.debit_id):",
        wrong="if days is None:",
        tests=("tests/billing/test_stop_debit.py::TestAtTheBank",),
    ),
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=list(DEFECTS))
def test_fits_the_code(defect: Defect) -> None:
    """Code moves on; a defect that no longer fits would prove nothing."""
    assert (ROOT / defect.file).read_text(encoding="utf-8").count(defect.right) == 1
    assert [name for name in defect.tests if not (ROOT / name.split("::")[0]).is_file()] == []


@pytest.mark.planted
@pytest.mark.timeout(300)
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=list(DEFECTS))
def test_is_noticed(defect: Defect, tmp_path: Path) -> None:
    """The suite goes red, by a failed test and by nothing else."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    file = tmp_path / defect.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(defect.right, defect.wrong), encoding="utf-8")

    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *defect.tests],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found.returncode == TESTS_FAILED, found.stdout[-2000:]
