"""A bank without an API, played by hand: fetches files, puts answers there."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from billing.io.bank_files import FileBank
from billing.iso.pain008 import Creditor, order_id
from tests.billing.statement_file import emitted, entry, part, statement

CREDITOR = Creditor(
    name="Aqkol Gas", iban="KZ68125KZT9000000001", bic="HSBKKZKX", scheme_id="KZ00AQKOL"
)
DAY = date(2026, 2, 25)


@dataclass
class PaperBank:
    """The folder as the bank sees it."""

    root: Path
    files: int = 0
    balance_minor: int = 0

    @property
    def client(self) -> FileBank:
        """Return what our service opens; each is like a process of its own."""
        return FileBank(self.root, CREDITOR)

    def signed(self, name: str = "MD1", **told: object) -> str:
        """Put a signed paper there."""
        (self.root / "mandates").mkdir(parents=True, exist_ok=True)
        said = {"name": "Aigul N.", "iban": "KZ86125KZT5004100100", "signed_on": "2025-12-01"}
        file = self.root / "mandates" / f"{name}.json"
        file.write_text(json.dumps(said | told), encoding="utf-8")
        return name

    def fetched(self) -> list[str]:
        """Take everything from the outbox, as the transfer program does."""
        found = sorted((self.root / "outbox").glob("*.xml"))
        names = [file.stem for file in found]
        for file in found:
            file.unlink()
        return names

    def put(self, data: bytes, name: str | None = None) -> Path:
        """Put a file into the inbox."""
        self.files += 1
        file = self.root / "inbox" / (name or f"{self.files:04}.xml")
        file.write_bytes(data)
        return file

    def says(self, payment_id: str, status: str, reason: str | None = None) -> None:
        """Answer with a pain.002."""
        one: dict[str, object] = {"orgnl_end_to_end_id": payment_id, "tx_sts": status}
        if reason is not None:
            one["sts_rsn_inf"] = [{"rsn": {"cd": reason}}]
        group = {"orgnl_msg_id": payment_id, "orgnl_msg_nm_id": "pain.008.001.08"}
        told = {
            "grp_hdr": {"msg_id": f"S{self.files}", "cre_dt_tm": "2026-02-23T10:00:00+05:00"},
            "orgnl_grp_inf_and_sts": group,
            "orgnl_pmt_inf_and_sts": [{"orgnl_pmt_inf_id": payment_id, "tx_inf_and_sts": [one]}],
        }
        self.put(emitted("pain.pain_002_001_10", {"cstmr_pmt_sts_rpt": told}))

    def books(
        self, payment_id: str, amount_minor: int, *, on: date = DAY, reason: str | None = None
    ) -> None:
        """Answer with a statement: the money came, or went back for a reason."""
        opening = self.balance_minor
        self.balance_minor += amount_minor
        told = entry(
            major(abs(amount_minor)),
            on,
            sign="CRDT" if amount_minor > 0 else "DBIT",
            ref=f"E{self.files}",
            parts=[part(end_to_end_id=payment_id, reason=reason)],
        )
        self.put(
            statement(
                on=on, opening=major(opening), closing=major(self.balance_minor), entries=[told]
            )
        )


def major(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02}"


def ordered(key: str, *, mandate: str = "MD1", amount: int = 74_297) -> bytes:
    """Return a frozen order."""
    return json.dumps(
        {
            "payments": {
                "amount": amount,
                "charge_date": DAY.isoformat(),
                "currency": "KZT",
                "description": "Gas 2026-01",
                "links": {"mandate": mandate},
                "metadata": {"intent": key},
                "retry_if_possible": False,
            }
        }
    ).encode()


__all__ = ["DAY", "PaperBank", "order_id", "ordered"]
