"""``aqkol meter`` as people type it; and a maker's list as makers write it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from app import __main__ as shell
from metering.device import rotation_message
from simulators.signed import Identity

OLD = Identity.of(seed="cli", meter_id="AQ-1")
NEW = Identity.of(seed="cli", meter_id="AQ-1", key_epoch=2)
OTHER = Identity.of(seed="cli", meter_id="AQ-2")
HEAD = "meter_id,dial_dm3,step_dm3,qmax_dm3_h,compensated,algorithm,public_key\n"
NOBODY = "00000000-0000-4000-8000-000000000000"
FIGURES = ("--dial-dm3", "100000000", "--step-dm3", "10", "--qmax-dm3-h", "6000", "--compensated")


@pytest.fixture
def aqkol(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give a command line whose database is the test's."""
    monkeypatch.setenv("AQKOL_DATABASE_URL", database_url)
    monkeypatch.setattr(shell.logs, "configure", lambda *_: None)
    return CliRunner()


def said(aqkol: CliRunner, *words: str) -> dict[str, object]:
    result = aqkol.invoke(shell.cli, ["meter", *words, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


class TestMeter:
    """The commands of a meter ..."""

    def test_make_it_known_and_look_after_its_keys(self, aqkol: CliRunner) -> None:
        """The code is printed once; each key shows what happened to it."""
        made = said(aqkol, "add", "AQ-1", *FIGURES, "--public-key", OLD.public.hex())
        assert len(str(made["claim_code"])) == 19
        assert isinstance(OLD.key, Ed25519PrivateKey)
        signature = OLD.key.sign(rotation_message("AQ-1", 2, NEW.public)).hex()

        new = NEW.public.hex()
        said(aqkol, "rotate", "AQ-1", "2", "--public-key", new, "--signature", signature)
        assert "revoked_at" in said(aqkol, "revoke", "AQ-1", "1")
        shown = said(aqkol, "show", "AQ-1")

        assert shown["state"] == "pending"
        keys = shown["keys"]
        assert isinstance(keys, dict)
        assert list(keys) == ["epoch 2", "epoch 1"]
        assert {"valid_until", "revoked_at"} <= set(keys["epoch 1"])

    def test_import_a_makers_list(self, aqkol: CliRunner, tmp_path: Path) -> None:
        """A meter that is known is told by name, and the rest goes on."""
        said(aqkol, "add", "AQ-1", *FIGURES, "--public-key", OLD.public.hex())
        file = tmp_path / "meters.csv"
        rows = [
            f"{it.meter_id},100000000,10,6000,true,EdDSA,{it.public.hex()}\n" for it in (OLD, OTHER)
        ]
        file.write_text(HEAD + "".join(rows), encoding="utf-8")

        made = said(aqkol, "import", str(file))

        assert made["AQ-1"] == {"refused": "a meter with this id is registered"}
        assert "claim_code" in dict(made["AQ-2"])  # type: ignore[call-overload]

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"meter_id\nAQ-2\n",
            HEAD.encode() + b"AQ-2,100000000,10\n",
            HEAD.encode() + b"AQ-2,100000000,10,6000,true,EdDSA," + b"00" * 32,
            HEAD.encode() + b"AQ-2,1e9,10,6000,true,EdDSA," + OTHER.public.hex().encode(),
            HEAD.encode() + b"AQ-2,100000000,10,6000,yes,EdDSA," + OTHER.public.hex().encode(),
            HEAD.encode("utf-16"),
        ],
    )
    def test_refuse_a_broken_list_as_a_whole(
        self, aqkol: CliRunner, tmp_path: Path, text: bytes
    ) -> None:
        """Half a row, a wrong encoding, a key anybody can sign for: a sentence, no trace."""
        file = tmp_path / "meters.csv"
        file.write_bytes(text)

        result = aqkol.invoke(shell.cli, ["meter", "import", str(file)])

        assert result.exit_code == 2
        assert result.stderr.startswith("aqkol: ")

    def test_overrule_it_with_a_name_and_a_reason(self, aqkol: CliRunner) -> None:
        """Whatever an operator may do over HTTP, and the history of all of it."""
        why = ("--because", "board changed", "--by", "Olga")
        made = said(aqkol, "add", "AQ-1", *FIGURES, "--public-key", OLD.public.hex())
        code = said(aqkol, "reissue", "AQ-1", *why)
        assert code["claim_code"] != made["claim_code"]
        said(aqkol, "revoke", "AQ-1", "1")
        vouched = said(aqkol, "vouch", "AQ-1", "--public-key", NEW.public.hex(), *why)
        assert (vouched["key_epoch"], vouched["new"]) == (2, True)
        assert said(aqkol, "remove", "AQ-1", *why)["state"] == "removed"

        told = said(aqkol, "history", "AQ-1")["events"]
        assert isinstance(told, dict)
        assert [(one["event"], one["by"]) for one in told.values()] == [
            ("removed", "Olga"),
            ("key_vouched", "Olga"),
            ("key_revoked", "aqkol meter"),
            ("code_reissued", "Olga"),
            ("provisioned", "aqkol meter"),
        ]

    def test_approve_a_firmware_and_take_it_back(self, aqkol: CliRunner) -> None:
        """Each word with a name and a reason; the same again is none."""
        why = ("--because", "tested", "--by", "Olga")
        first = said(aqkol, "firmware", "pulse", "ab" * 32, "--approve", *why)
        again = said(aqkol, "firmware", "pulse", "ab" * 32, "--approve", *why)
        back = said(aqkol, "firmware", "pulse", "ab" * 32, "--withdraw", *why)

        assert [one["new"] for one in (first, again, back)] == [True, False, True]
        assert (back["approved"], back["revision"]) == (False, 2)

    def test_map_its_days_and_declare_a_gap(self, aqkol: CliRunner) -> None:
        """What a clerk does over HTTP can be done by hand, with a name and a reason."""
        said(aqkol, "add", "AQ-1", *FIGURES, "--public-key", OLD.public.hex())
        days = ("--from", "2026-01-03", "--to", "2026-01-05")
        why = ("--because", "ten years old", "--by", "Olga")
        made = said(aqkol, "declare-gap", "AQ-1", *days, "--reason", "workshop", *why)
        assert (made["declared_by"], made["new"]) == ("Olga", True)
        mapped = said(aqkol, "gaps", "AQ-1", *days)

        assert mapped["days"] == {"2026-01-03": "not_installed", "2026-01-04": "not_installed"}
        assert mapped["missing_days"] == 0
        assert list(dict(mapped["declared"])) == [made["gap_id"]]  # type: ignore[call-overload]
        back = said(aqkol, "withdraw-gap", "AQ-1", str(made["gap_id"]), *why)
        assert back["withdrawn_by"] == "Olga"

    @pytest.mark.parametrize(
        "words",
        [
            ["gaps", "AQ-404"],
            ["freeze", "AQ-404", "--because", "x", "--by", "Olga"],
            ["remove", "AQ-404", "--because", "x", "--by", "O" * 101],
            ["reissue", "AQ-404", "--because", "", "--by", "Olga"],
            ["vouch", "AQ-1", "--public-key", "00" * 32, "--because", "x", "--by", "Olga"],
            ["history", "AQ-404"],
            ["firmware", "pulse", "ab", "--approve", "--because", "x", "--by", "Olga"],
            ["firmware", "pulse", "zz" * 32, "--approve", "--because", "x", "--by", "Olga"],
            ["firmware", "Pulse", "ab" * 32, "--approve", "--because", "x", "--by", "Olga"],
            ["gaps", "AQ-404", "--from", "2026-01-03", "--to", "2026-01-03"],
            ["withdraw-gap", "AQ-1", NOBODY, "--because", "x", "--by", "Olga"],
            ["withdraw-gap", "AQ-1", NOBODY, "--because", "a\nb", "--by", "Olga"],
            ["show", "AQ-404"],
            ["show", "AQ\u0000"],
            ["revoke", "AQ-404", "1"],
            ["add", "aq-1", *FIGURES, "--public-key", OLD.public.hex()],
            ["add", "AQ-1", *FIGURES, "--public-key", "00" * 32],
            ["add", "AQ-1", *FIGURES, "--public-key", "key"],
        ],
    )
    def test_end_with_a_sentence(self, aqkol: CliRunner, words: list[str]) -> None:
        """What was asked wrongly is the asker's to mend."""
        result = aqkol.invoke(shell.cli, ["meter", *words])

        assert result.exit_code == 2
        assert "Traceback" not in result.output
