"""What people say about debits in review, in memory; see billing/io/announce_rows.py."""

from billing.debit import DebitId
from billing.decision import ReviewWord
from tests.world.engine import Table, Transaction


def review_tables() -> dict[str, Table]:
    """Return the table of words, each about the step that put a debit in review."""
    by_step = ("debit_step", lambda row: row[0])
    return {"review_word": Table(parents=(by_step,))}


class MemoryReviewDesk:
    """One open transaction: what it says of debits in review."""

    tx: Transaction

    async def last_step(self, debit_id: DebitId) -> int:
        """Return the number of the last step a debit took."""
        await self.tx.statement()
        number = 0
        key = (debit_id.account_id, debit_id.bill_no, debit_id.attempt)
        while self.tx.get("debit_step", (*key, number + 1)) is not None:
            number += 1
        return number

    async def review_words(self, debit_id: DebitId, step_no: int) -> list[ReviewWord]:
        """Return what was said about a debit since this step put it in review, oldest first."""
        await self.tx.statement()
        step = (debit_id.account_id, debit_id.bill_no, debit_id.attempt, step_no)
        found = [word for key, word in self.tx.scan("review_word") if key == step]
        return sorted(found, key=lambda one: (one.said_at, one.said_by, one.decision))

    async def add_review_word(self, debit_id: DebitId, step_no: int, word: ReviewWord) -> bool:
        """Keep a word; False if this person has said the same before."""
        await self.tx.statement()
        step = (debit_id.account_id, debit_id.bill_no, debit_id.attempt, step_no)
        key = (*step, word.decision, word.said_by)
        return await self.tx.insert("review_word", key, (step, word))
