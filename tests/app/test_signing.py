"""The key with which we sign what meters are told."""

import stat
from pathlib import Path

import pytest

from app.config import Settings
from app.signing import SigningKeyError, signer

# RFC 8032, 7.1, test 1: a secret key and its public key.
SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


class TestSigningKey:
    """The key ..."""

    def test_is_the_one_that_was_named(self, tmp_path: Path) -> None:
        """Meters are provisioned with its public half: another key would be nobody to them."""
        file = tmp_path / "key"
        file.write_text(f"{SECRET}\n", encoding="ascii")

        assert signer(Settings(signing_key=file)).public_key.hex() == PUBLIC

    def test_is_made_once_and_for_us_alone(self, tmp_path: Path) -> None:
        """A second start that made a new one would lose every meter."""
        settings = Settings(state=tmp_path / "state")

        first = signer(settings).public_key
        second = signer(settings).public_key

        assert first == second
        mode = (tmp_path / "state" / "signing.key").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["signing.key"]

    @pytest.mark.parametrize("text", ["", "abc", SECRET[:-2], SECRET + "00", "zz" * 32, "\u00e9"])
    def test_is_refused_when_it_is_none(self, tmp_path: Path, text: str) -> None:
        """Half a key would sign something that no meter believes."""
        file = tmp_path / "key"
        file.write_text(text, encoding="utf-8")

        with pytest.raises(SigningKeyError, match="64 hex digits"):
            signer(Settings(signing_key=file))

    def test_is_refused_when_the_named_file_is_missing(self, tmp_path: Path) -> None:
        """A new one in its place would be found out by the meters, months later."""
        with pytest.raises(SigningKeyError, match="FileNotFoundError"):
            signer(Settings(signing_key=tmp_path / "none"))
