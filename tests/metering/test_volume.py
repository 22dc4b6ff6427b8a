"""Exact volumes from whatever a gateway writes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.telegram import REGISTER_DM3_MAX
from metering.volume import VolumeFault, volume_dm3


class TestVolume:
    """A volume is whole dm3 exactly, or a fault with a name."""

    @pytest.mark.parametrize(
        ("value", "unit", "register_dm3"),
        [
            ("0917.500", "m3", 917500),
            ("001234.567", "m3", 1234567),
            (Decimal("6842.784"), "m3", 6842784),
            (Decimal("10142194.0"), "l", 10142194),
            (Decimal("0.0000000"), "m3", 0),
            (917, "m3", 917000),
            ("0.2559", "m3", 255),
            (0, "dm3", 0),
        ],
    )
    def test_is_whole_dm3_rounded_down(self, value: object, unit: str, register_dm3: int) -> None:
        """Rounding up would bill gas that has not passed yet."""
        assert volume_dm3(value, unit) == register_dm3

    @pytest.mark.parametrize(
        "value",
        [
            "1e999999", Decimal("1e999999"), Decimal("1e3"), Decimal("NaN"),
            Decimal(-1), "-1", "+1", "1,234",
            "1 234", "", " 1", "1\n", "NaN", "Infinity", "\u0661", True, False, None, [], {}, 1.5,
            10**5000, -1, "1" * 33, "1.", ".5",
        ],
        ids=lambda value: type(value).__name__,
    )  # fmt: skip
    def test_of_what_is_no_plain_number_is_refused(self, value: object) -> None:
        """A bool, a float, a sign, an exponent or a thousands mark is a guess, and we do not."""
        assert volume_dm3(value, "m3") is VolumeFault.NOT_A_NUMBER

    @pytest.mark.parametrize("unit", ["kWh", "", "M3", "ft3", "pulse"])
    def test_in_another_unit_is_refused(self, unit: str) -> None:
        """Energy is no register; read as m3 it would be billed elevenfold."""
        assert volume_dm3("1", unit) is VolumeFault.BAD_UNIT

    def test_beyond_what_we_store_is_out_of_range(self) -> None:
        """One more than the largest register would not fit where readings are kept."""
        assert volume_dm3(str(REGISTER_DM3_MAX), "dm3") == REGISTER_DM3_MAX
        assert volume_dm3(str(REGISTER_DM3_MAX + 1), "dm3") is VolumeFault.OUT_OF_RANGE

    @given(
        st.one_of(st.text(), st.integers(), st.decimals(), st.floats(), st.booleans()), st.text()
    )
    def test_never_raises(self, value: object, unit: str) -> None:
        """One mad gateway must not stop the line."""
        for named in (unit, "m3"):
            found = volume_dm3(value, named)
            assert isinstance(found, VolumeFault) or 0 <= found <= REGISTER_DM3_MAX
