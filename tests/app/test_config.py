"""Settings: what can be set, what is refused and in which words, and what is never shown."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from app import config
from app.config import SettingsError
from app.wiring import wanted
from billing.policy import BillPolicy
from metering.conversion import EnergyRule
from metering.io.conversions import Wanted


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine has set."""
    for name in [name for name in os.environ if name.startswith("AQKOL_")]:
        monkeypatch.delenv(name)


class TestSettings:
    """The settings ..."""

    def test_run_embedded_when_nothing_is_set(self) -> None:
        """A first start needs no configuration."""
        settings = config.load()

        assert settings.database is None
        assert settings.brokers == ()
        assert settings.bank_url is None
        assert settings.zone == "Asia/Almaty"
        assert settings.state == Path(".aqkol")

    @pytest.mark.parametrize(
        "text",
        ['["mqtt://a:1883", "mqtts://u:p@b"]', "mqtt://a:1883,mqtts://u:p@b", " mqtt://a:1883 , mqtts://u:p@b,"],
    )  # fmt: skip
    def test_take_several_brokers(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """A list for programs, commas for people."""
        monkeypatch.setenv("AQKOL_MQTT_URLS", text)

        assert config.load().brokers == ("mqtt://a:1883", "mqtts://u:p@b")

    def test_prefer_the_command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An option is nearer to the person than the environment."""
        monkeypatch.setenv("AQKOL_STATE", "/from/environment")

        assert config.load(state=Path("/from/option")).state == Path("/from/option")
        assert config.load(state=None).state == Path("/from/environment")

    def test_refuse_half_an_identity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate without its key would silently be no certificate."""
        monkeypatch.setenv("AQKOL_MQTT_CERT", "/somewhere/me.pem")

        with pytest.raises(SettingsError) as raised:
            config.load()

        assert str(raised.value) == "AQKOL_MQTT_CERT and AQKOL_MQTT_KEY belong together."

    def test_take_an_empty_variable_as_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """docker-compose hands empty variables on."""
        monkeypatch.setenv("AQKOL_DATABASE_URL", "")

        assert config.load().database is None

    def test_do_not_change(self) -> None:
        """One process has one truth about where its servers are."""
        with pytest.raises(ValidationError):
            config.load().zone = "UTC"


class TestWhatIsWanted:
    """What a town wants to know of a volume ..."""

    def test_is_nothing_by_default(self) -> None:
        """A town that never asked is shown what its dials counted."""
        assert wanted(config.load()) == Wanted(standard=False, energy=None)

    @pytest.mark.parametrize("rule", list(EnergyRule))
    def test_is_what_is_set(self, monkeypatch: pytest.MonkeyPatch, rule: EnergyRule) -> None:
        """Each for itself."""
        monkeypatch.setenv("AQKOL_ENERGY_RULE", rule.value)
        assert wanted(config.load()) == Wanted(standard=False, energy=rule)
        monkeypatch.setenv("AQKOL_STANDARD_VOLUME", "on")
        assert wanted(config.load()) == Wanted(standard=True, energy=rule)


class TestWhatATownDecides:
    """What a town decides about its bills ..."""

    def test_is_nothing_by_default(self) -> None:
        """No penalties, and every bill is asked for."""
        assert config.load().bill_policy == BillPolicy()

    def test_is_what_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """K with up to four decimals, sums in whole minor units."""
        monkeypatch.setenv("AQKOL_PENALTY_FACTOR", "1.2501")
        monkeypatch.setenv("AQKOL_MINIMUM_BILL", "KZT:50000,USD:100")

        assert config.load().bill_policy == BillPolicy(
            penalty_factor_bp=12_501, minimums_minor={"KZT": 50_000, "USD": 100}
        )

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("AQKOL_PENALTY_FACTOR", "0"),
            ("AQKOL_PENALTY_FACTOR", "10.1"),
            ("AQKOL_PENALTY_FACTOR", "1.25001"),
            ("AQKOL_PENALTY_FACTOR", "NaN"),
            ("AQKOL_MINIMUM_BILL", "50000"),
            ("AQKOL_MINIMUM_BILL", "KZT:-1"),
            ("AQKOL_MINIMUM_BILL", "KZT:500.00"),
            ("AQKOL_MINIMUM_BILL", "KZT:500,"),
        ],
    )
    def test_is_refused_by_the_name_of_the_setting(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
    ) -> None:
        """A typing error charges nobody tenfold."""
        monkeypatch.setenv(variable, text)
        with pytest.raises(SettingsError, match=variable):
            config.load()


class TestRefusals:
    """A setting that cannot be used ..."""

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("DATABASE_URL", "mysql://x", "must be an address that begins with postgresql://"),
            ("MQTT_URLS", "localhost:1883", "must be an address that begins with mqtt://"),
            ("MQTT_URLS", "mqtt://", "must be an address that begins with mqtt://"),
            ("MQTT_URLS", "[1", "is not a JSON list"),
            ("BANK_URL", "ftp://bank", "must be an address that begins with http://"),
            ("BANK_URL", "https://me:word@bank", "must not hold a name or a password"),
            ("HTTP_PORT", "70000", "less than or equal to 65535"),
            ("HTTP_PORT", "http", "valid integer"),
            ("ZONE", "Asia/Almati", "'Asia/Almati' is not the name of a time zone"),
            ("LOG_FORMAT", "xml", "'auto', 'json' or 'console'"),
            ("BANK_SCHEME", "swift", "'kz_direct' or 'sepa_core'"),
            ("STANDARD_VOLUME", "yes", "'off' or 'on'"),
            ("ENERGY_RULE", "us", "'off', 'uk', 'it' or 'de'"),
        ],
    )
    def test_is_named_with_the_reason(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
    ) -> None:
        """One sentence that says which variable and what is wrong with it."""
        monkeypatch.setenv(f"AQKOL_{name}", value)

        with pytest.raises(SettingsError) as refused:
            config.load()

        assert str(refused.value).startswith(f"AQKOL_{name}: ")
        assert sentence in str(refused.value)

    def test_is_asked_about_when_its_name_is_mistyped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taken silently, it would start an empty database beside the real one."""
        monkeypatch.setenv("AQKOL_DATABSE_URL", "postgresql://db/aqkol")

        with pytest.raises(SettingsError, match="did you mean AQKOL_DATABASE_URL"):
            config.load()

    @pytest.mark.parametrize("name", ["DATABASE_URL", "MQTT_URLS"])
    def test_is_not_repeated_with_its_password(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """An error message ends up in a log or a ticket."""
        monkeypatch.setenv(f"AQKOL_{name}", "wrong://me:geheim@host")

        with pytest.raises(SettingsError) as refused:
            config.load()

        assert "geheim" not in str(refused.value)


class TestSecrets:
    """Passwords and tokens ..."""

    def test_are_never_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not in a repr, a traceback or the doctor's report."""
        monkeypatch.setenv("AQKOL_DATABASE_URL", "postgresql://me:geheim1@db/a?password=geheim2")
        monkeypatch.setenv("AQKOL_MQTT_URLS", "mqtts://me:geheim3@broker")
        monkeypatch.setenv("AQKOL_BANK_TOKEN", "geheim4")

        settings = config.load()

        assert "geheim" not in repr(settings) + str(settings) + str(settings.shown())
        assert settings.shown()["database_url"] == "postgresql://me:****@db/a?password=****"


PAYEE = {
    "AQKOL_PAYEE_NAME": "Town Gas LLP",
    "AQKOL_PAYEE_BIN": "940140000385",
    "AQKOL_PAYEE_IBAN": "kz86 125k zt50 0410 0100",
    "AQKOL_PAYEE_BIC": "KKMFKZ2A",
    "AQKOL_PAYEE_BANK": "Bank of the Town",
    "AQKOL_PAYEE_KBE": "16",
    "AQKOL_PAYEE_KNP": "859",
}


class TestWhoIsPaid:
    """Who is paid ..."""

    def test_is_nobody_unless_said(self) -> None:
        """A town that only tries us out has no bank account to name."""
        assert config.load().payee is None

    def test_is_said_in_seven_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """People write a bank account in groups of four."""
        for name, value in PAYEE.items():
            monkeypatch.setenv(name, value)

        paid = config.load().payee

        assert paid is not None
        assert (paid.name, paid.bin) == ("Town Gas LLP", "940140000385")
        assert paid.iban == "KZ86125KZT5004100100"
        assert (paid.bic, paid.bank, paid.kbe, paid.knp) == (
            "KKMFKZ2A", "Bank of the Town", "16", "859",
        )  # fmt: skip

    def test_is_not_said_by_halves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the bank nobody can pay, and the first payer would notice it before us."""
        for name in set(PAYEE) - {"AQKOL_PAYEE_BIC", "AQKOL_PAYEE_KNP"}:
            monkeypatch.setenv(name, PAYEE[name])

        with pytest.raises(SettingsError) as raised:
            config.load()

        assert str(raised.value) == (
            "who is paid is said in full or not at all; missing: AQKOL_PAYEE_BIC, AQKOL_PAYEE_KNP."
        )

    def test_is_refused_by_the_name_of_the_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One wrong digit of twenty; the sentence says where to look."""
        for name, value in PAYEE.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AQKOL_PAYEE_IBAN", "KZ12070105KSN0000000")

        with pytest.raises(SettingsError) as raised:
            config.load()

        assert str(raised.value) == (
            "AQKOL_PAYEE_IBAN: has a wrong character: its check digits do not fit."
        )


class TestMails:
    """Mails ..."""

    def test_need_a_relay_and_a_sender(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One without the other would silently write nothing."""
        assert not config.load().bill_policy.mails
        monkeypatch.setenv("AQKOL_SMTP_URL", "smtps://town:geheim@mail.example")
        with pytest.raises(SettingsError, match="belong together"):
            config.load()

        monkeypatch.setenv("AQKOL_MAIL_FROM", "gas@gas.example")
        settings = config.load()
        assert settings.bill_policy.mails
        assert "geheim" not in repr(settings) + str(settings.shown())
        assert settings.shown()["smtp_url"] == "smtps://town:****@mail.example"

    @pytest.mark.parametrize(
        ("url", "sender"),
        [
            ("http://town:geheim@mail.example", "gas@gas.example"),
            ("smtp://geheim@mail.example", "gas@gas.example"),
            ("smtp://mail.example", "gas@gas.example\nBcc: geheim@gas.example"),
            ("smtp://mail.example", "Gas <geheim@gas.example>"),
        ],
    )
    def test_are_refused_without_repeating_a_secret(
        self, monkeypatch: pytest.MonkeyPatch, url: str, sender: str
    ) -> None:
        """A typing error is answered on a terminal that others may read."""
        monkeypatch.setenv("AQKOL_SMTP_URL", url)
        monkeypatch.setenv("AQKOL_MAIL_FROM", sender)

        with pytest.raises(SettingsError) as raised:
            config.load()

        assert "geheim" not in str(raised.value)


class TestABankWithoutAnApi:
    """The folder for its files ..."""

    def test_needs_to_know_who_is_paid(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A file without a creditor is one that no bank takes."""
        monkeypatch.setenv("AQKOL_BANK_FILES", str(tmp_path))
        with pytest.raises(SettingsError, match="AQKOL_CREDITOR_ID"):
            config.load()
        for name, value in PAYEE.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AQKOL_CREDITOR_ID", "KZ00AQKOL")

        assert config.load().statement_folder == tmp_path / "statements"

    def test_is_no_second_bank(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A debit must not be able to go two ways."""
        monkeypatch.setenv("AQKOL_BANK_FILES", str(tmp_path))
        monkeypatch.setenv("AQKOL_BANK_URL", "http://127.0.0.1:8300")
        with pytest.raises(SettingsError, match="two banks"):
            config.load()
