"""The checker: I1 to I13 of the payments reference, from outside.

It shares nothing with the service and imports nothing of it. It sees what the world wrote down
(tests/world/truth.py), the bank's own documents and orders, and the rows as plain values; where the
service has a rule, the rule is written here again from the contract with the resident.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.world.bank_days import working_days
from tests.world.truth import DebitKey, Truth

# In the bank's words: money that may still come, that has come, that will never come.
MAY_COME: Final = frozenset({"pending_customer_approval", "pending_submission", "submitted"})
HAS_COME: Final = frozenset({"confirmed", "paid_out"})
DEAD: Final = frozenset({"failed", "retry_due", "cancelled", "charged_back", "exhausted"})
OVER: Final = DEAD | {"held", "settled", "reconciled", "review"}
# What a payment that is over is called there, and the reasons of a person who ended a debit.
ENDED: Final = frozenset({"failed", "cancelled", "charged_back"})
BY_PERSON: Final = frozenset({"given_up_by_person", "begin_anew"})
# Who has not named a new account himself has three days to say so.
COOLS_OFF: Final = timedelta(hours=72)
TOWN: Final = ZoneInfo("Asia/Almaty")
KEY: Final = "debit:v1:"


def debit_of(intent: object) -> DebitKey | None:
    """Read the bank's metadata: whose payment it is."""
    if not isinstance(intent, str) or not intent.startswith(KEY):
        return None
    account_id, bill_no, attempt = intent.removeprefix(KEY).split(":")
    return account_id, bill_no, int(attempt)


def intent_of(payment: Mapping[str, Any]) -> DebitKey | None:
    """Return the debit that a payment at the bank says it is for."""
    return debit_of((payment.get("metadata") or {}).get("intent"))


def instant(text: str) -> datetime:
    """Read an instant of the bank's."""
    return datetime.fromisoformat(text)


class Checker:
    """Collects what is wrong; a run is good when it has found nothing."""

    def __init__(self, truth: Truth, rows: Mapping[str, Mapping[Any, Any]]) -> None:
        self.truth = truth
        self.rows = rows
        self.wrong: list[str] = []
        self._digests: dict[str, bytes] = {}
        self._keys: dict[bytes, str] = {}

    def say(self, invariant: str, what: str) -> None:
        """Write down a violation, once."""
        line = f"{invariant} {what}"
        if invariant not in self.truth.excused and line not in self.wrong:
            self.wrong.append(line)

    # -- after every commit: what the rows alone can tell

    def after_commit(self, undo: Iterable[tuple[str, Any, Any]]) -> None:
        """Look at what a commit has written."""
        for table, key, _ in undo:
            row = self.rows[table].get(key)
            if row is None:
                continue
            if table == "debit":
                self._one_alive(key[:2])
            elif table == "transfer":
                self._transfer(row)

    def _one_alive(self, bill: tuple[str, str]) -> None:
        alive = [
            key
            for key, row in self.rows["debit"].items()
            if key[:2] == bill and str(row.state) not in DEAD
        ]
        if len(alive) > 1:
            self.say("I2", f"{bill} has {len(alive)} attempts alive")

    def _transfer(self, row: Any) -> None:
        if type(row.amount_minor) is not int or row.amount_minor <= 0:
            self.say("I13", f"{row.transfer_id} moves {row.amount_minor!r}")
        if str(row.debit_code) == str(row.credit_code):
            self.say("I4", f"{row.transfer_id} moves nothing")
        if row.transfer_id.startswith("debit/"):
            name, _, kind = row.transfer_id.rpartition("/")
            word, _, number = kind.partition("-")
            other = {"void": "posted", "posted": "void"}.get(word)
            if other is not None:
                twin = f"{name}/{other}" + (f"-{number}" if number else "")
                if (row.account_id, twin) in self.rows["transfer"]:
                    self.say("I4", f"{row.account_id} {name} is both void and posted")
                asked = f"{name}/pending" + (f"-{number}" if number else "")
                if (row.account_id, asked) not in self.rows["transfer"]:
                    self.say("I4", f"{row.account_id} {row.transfer_id} was never pending")

    # -- when an order has come in at the bank's door

    def order(self, at: datetime, key: str, body: bytes) -> None:
        """Look at an order to pay as the bank has it in its hands."""
        if self._digests.setdefault(key, body) != body:
            self.say("I11", f"{key} came with two bodies")
        if self._keys.setdefault(body, key) != key:
            self.say("I11", f"one body came under {key} and {self._keys[body]}")
        wanted = json.loads(body)["payments"]
        debit = debit_of(key)
        if debit is None or debit_of(wanted["metadata"]["intent"]) != debit:
            self.say("I3", f"an order under the key {key} names no attempt")
            return
        if type(wanted["amount"]) is not int:
            self.say("I13", f"{key} orders {wanted['amount']!r}")
        self._promised(key, debit, wanted)
        self._wanted(at, key, debit)
        asked_at = self.truth.linked.get(wanted["links"]["mandate"])
        if asked_at is not None and at < asked_at + COOLS_OFF:
            self.say("I6", f"{key} is taken from an account that was named at {asked_at}")
        self._within_caps(at, key, debit, wanted)
        recorded = self.truth.recorded.get(debit)
        if not recorded:
            self.say("I3", f"{key} was sent before it was written down")
            return
        most = self.truth.asked_between_minor(debit[0], debit[1], recorded[-1], at)
        if wanted["amount"] > most:
            self.say("I1", f"{key} takes {wanted['amount']} where {most} were asked for")

    def refused(self, key: str) -> None:
        """See that the bank refused an order."""
        debit = debit_of(key)
        if debit is not None:
            self.truth.refused.add(debit)

    def nobody_needed(self) -> None:
        """Where nothing went wrong, nothing waits for a person."""
        for key, row in self.rows["debit"].items():
            if str(row.state) == "review":
                self.say("I10", f"{key} waits for a person, and nothing had gone wrong")

    def _promised(self, key: str, debit: DebitKey, wanted: Mapping[str, Any]) -> None:
        charge = date.fromisoformat(wanted["charge_date"])
        working = self.truth.notice_working_days
        kept = any(
            told.amount_minor == wanted["amount"]
            and told.currency == wanted["currency"]
            and told.at.astimezone(TOWN).date() + timedelta(days=self.truth.notice_days) <= charge
            and working_days(told.at.astimezone(TOWN).date(), charge) >= working
            and told.charge_on <= charge
            for told in self.truth.inbox.get(debit, [])
        )
        if not kept:
            self.say("I5", f"{key} takes {wanted['amount']} on {charge}, which nobody was told")

    def _wanted(self, at: datetime, key: str, debit: DebitKey) -> None:
        """An order may only be under way against a wish if it was on its way before the wish."""
        wish = self.truth.wish(debit[0], at)
        if wish == "active":
            return
        since = max(when for when, said in self.truth.wishes[debit[0]] if when <= at)
        began = [when for when in self.truth.claimed.get(debit, []) if when <= since]
        if not began:
            self.say("I6", f"{key} was ordered although {debit[0]} had {wish} before")

    def _within_caps(
        self, at: datetime, key: str, debit: DebitKey, wanted: Mapping[str, Any]
    ) -> None:
        recorded = self.truth.recorded.get(debit, [at])
        caps = self.truth.caps_between(debit[0], recorded[0] - timedelta(minutes=1), at)
        if all(wanted["amount"] > one for one, _ in caps):
            self.say("I8", f"{key} takes {wanted['amount']}, more than one payment may")

    # -- when everything is quiet

    def quiet(self, payments: list[dict[str, Any]], refunds: list[dict[str, Any]]) -> None:
        """Look at the bank's books beside ours; news may still be on its way."""
        back = _given_back(refunds)
        by_bill: dict[tuple[str, str], int] = defaultdict(int)
        seen: Counter[DebitKey] = Counter()
        for payment in payments:
            if type(payment["amount"]) is not int:
                self.say("I13", f"{payment['id']} is over {payment['amount']!r}")
            debit = intent_of(payment)
            if debit is None:
                self.say("I3", f"{payment['id']} carries no attempt of ours")
                continue
            seen[debit] += 1
            if payment["status"] in MAY_COME | HAS_COME:
                by_bill[debit[:2]] += payment["amount"] - back[payment["id"]]
        for debit, count in seen.items():
            if count > 1:
                self.say("I3", f"{debit} was made {count} times at the bank")
        for bill, minor in by_bill.items():
            most = self.truth.most_asked_minor(*bill)
            if minor > most:
                self.say("I1", f"{bill} asks for {most} and {minor} are taken or will be")
        self._months(payments)

    def _months(self, payments: list[dict[str, Any]]) -> None:
        taken: dict[tuple[str, str], int] = defaultdict(int)
        for payment in payments:
            debit = intent_of(payment)
            if debit is not None and payment["status"] in MAY_COME | HAS_COME:
                taken[debit[0], payment["charge_date"][:7]] += payment["amount"]
        for (account_id, month), minor in taken.items():
            most = max(cap for _, _, cap in self.truth.caps[account_id])
            if minor > most:
                self.say("I8", f"{account_id} pays {minor} in {month}, more than {most}")

    # -- at the end, when all news has been heard

    def end(
        self,
        payments: list[dict[str, Any]],
        refunds: list[dict[str, Any]],
        unfinished: list[str],
    ) -> None:
        """Look at everything once nothing is under way any more."""
        self.quiet(payments, refunds)
        self._refunds(refunds, payments)
        for one in unfinished:
            self.say("I10", f"{one} neither ended nor waits for a person")
        debits = self.rows["debit"]
        for payment in payments:
            debit = intent_of(payment)
            row = None if debit is None else debits.get(debit)
            if row is None:
                self.say("I3", f"{payment['id']} for {debit} is unknown to us")
            else:
                self._agree(debit, row, payment)
        names = {payment["id"]: intent_of(payment) for payment in payments}
        for key, row in debits.items():
            named = row.bank_payment_id is not None and str(row.state) != "review"
            if named and names.get(row.bank_payment_id) != key:
                self.say("I3", f"{key} believes in {row.bank_payment_id}, which is not its own")
        self._given_up(debits, set(names.values()))
        self._books(payments)
        self._unwanted(payments)

    def _given_up(self, debits: Mapping[Any, Any], made: set[DebitKey | None]) -> None:
        """What was sent and made no payment was refused, or it was given up for nothing.

        A person may give it up too; his word is looked at elsewhere.
        """
        for key, row in debits.items():
            fell = str(row.state) in {"failed", "retry_due", "exhausted"} and row.body is not None
            refused = key in self.truth.refused or row.reason in BY_PERSON
            if fell and key not in made and not refused:
                self.say("I3", f"{key} is {row.state} and nobody refused it")

    def _agree(self, debit: Any, row: Any, payment: Mapping[str, Any]) -> None:
        state = str(row.state)
        told = {
            "pending_submission": {"accepted", "cancel_requested"},
            "submitted": {"submitted"},
            "confirmed": {"confirmed"},
            "paid_out": {"settled", "reconciled"},
            "failed": {"failed", "retry_due", "exhausted"},
            "cancelled": {"cancelled"},
            "charged_back": {"charged_back", "exhausted"},
        }
        if state == "review":
            return
        # A person may end what the bank has ended, in whatever way it did.
        if row.reason in BY_PERSON and payment["status"] in ENDED:
            return
        if state not in told.get(payment["status"], set()):
            self.say("I3", f"{debit} is {state} here and {payment['status']} at the bank")

    def _books(self, payments: list[dict[str, Any]]) -> None:
        """Our money in transit is the bank's confirmed and not yet paid out, account by account."""
        ours: Counter[str] = Counter()
        for row in self.rows["transfer"].values():
            if str(row.phase) == "posted":
                ours[row.account_id] += row.amount_minor * (
                    (str(row.debit_code) == "collections_in_transit")
                    - (str(row.credit_code) == "collections_in_transit")
                )
        theirs: Counter[str] = Counter()
        for payment in payments:
            debit = intent_of(payment)
            if debit is not None and payment["status"] == "confirmed":
                theirs[debit[0]] += payment["amount"]
        in_review = {
            key[0] for key, row in self.rows["debit"].items() if str(row.state) == "review"
        }
        for account_id in sorted(set(ours) | set(theirs)):
            if account_id not in in_review and ours[account_id] != theirs[account_id]:
                self.say(
                    "I4",
                    f"{account_id} has {ours[account_id]} in transit here,"
                    f" {theirs[account_id]} at the bank",
                )
        self._one_movement(payments)

    def _one_movement(self, payments: list[dict[str, Any]]) -> None:
        """A payment that came is paid once in our books; one that came back is owed again."""
        net: Counter[DebitKey] = Counter()
        open_: Counter[DebitKey] = Counter()
        for row in self.rows["transfer"].values():
            if not row.transfer_id.startswith("debit/"):
                continue
            _, bill_no, attempt, kind = row.transfer_id.split("/")
            debit = (row.account_id, bill_no, int(attempt))
            word = kind.partition("-")[0]
            open_[debit] += (word == "pending") - (word in {"posted", "void"})
            if str(row.phase) == "posted":
                owed = {"receivable", "chargebacks_receivable"}
                net[debit] += row.amount_minor * (
                    (str(row.credit_code) in owed) - (str(row.debit_code) in owed)
                )
        for payment in payments:
            debit = intent_of(payment)
            row = None if debit is None else self.rows["debit"].get(debit)
            if debit is None or row is None or str(row.state) == "review":
                continue
            status, paid = payment["status"], net[debit]
            if status in HAS_COME and paid != payment["amount"]:
                self.say("I12", f"{debit} brought {payment['amount']} and {paid} are paid")
            if status in {"failed", "charged_back", "cancelled"} and paid != 0:
                self.say("I12", f"{debit} is {status} and {paid} are paid")
            self._told(debit, status)
            if status not in MAY_COME and open_[debit] != 0:
                self.say("I12", f"{debit} is {status} and {open_[debit]} times pending")

    def _told(self, debit: DebitKey, status: str) -> None:
        """A resident has one receipt for money that was taken, one correction if it came back."""
        names = [
            message_id
            for account_id, message_id in self.rows.get("message", {})
            if account_id == debit[0]
        ]
        said = Counter(
            name.partition("/")[0]
            for name in names
            if name.startswith((_letter("receipt", debit), _letter("correction", debit)))
        )
        open_ = said["receipt"] - said["correction"]
        if open_ != (status in HAS_COME):
            self.say("I12", f"{debit} is {status} with {dict(said)}")

    def _refunds(self, refunds: list[dict[str, Any]], payments: list[dict[str, Any]]) -> None:
        """Nobody gets back more than was taken, and nothing twice under one key."""
        amounts = {payment["id"]: payment["amount"] for payment in payments}
        given: Counter[str] = Counter()
        keys: Counter[str] = Counter()
        for refund in refunds:
            if refund["status"] not in {"bounced", "funds_returned", "cancelled"}:
                given[refund["links"]["payment"]] += refund["amount"]
            keys[str((refund.get("metadata") or {}).get("intent"))] += 1
        for payment_id, minor in given.items():
            if minor > amounts[payment_id]:
                self.say("I7", f"{payment_id} brought {amounts[payment_id]}, {minor} went back")
        for key, count in keys.items():
            if count > 1 and "I7" not in self.truth.excused:
                self.say("I7", f"{key} went back {count} times")

    def _unwanted(self, payments: list[dict[str, Any]]) -> None:
        """What was made against a wish is not kept: cancelled, or given back when it came."""
        refunds = {key[:3] for key in self.rows.get("refund", {})}
        for payment in payments:
            debit = intent_of(payment)
            if debit is None or payment["status"] not in HAS_COME | MAY_COME:
                continue
            made = instant(payment["created_at"])
            if self.truth.wish(debit[0], made) != "active" and debit not in refunds:
                self.say("I6", f"{debit} was made against a wish and is {payment['status']}")


def _given_back(refunds: list[dict[str, Any]]) -> Counter[str]:
    """Return what went back of each payment.

    What bounced is with us again, and owed: it waits to be paid by hand.
    """
    back: Counter[str] = Counter()
    for refund in refunds:
        if refund["status"] != "cancelled":
            back[refund["links"]["payment"]] += refund["amount"]
    return back


def _letter(kind: str, debit: DebitKey) -> str:
    return f"{kind}/{debit[1]}/{debit[2]}/"
