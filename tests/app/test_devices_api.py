"""Devices over HTTP: made known, claimed, confirmed, given new keys, silenced."""

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering.device import kid_of, rotation_message
from simulators.signed import Identity
from tests.app.api_town import Api

ID: Final = "AQ-000009"
OLD: Final = Identity.of(seed="api", meter_id=ID)
NEW: Final = Identity.of(seed="api", meter_id=ID, key_epoch=2)
DEVICE: Final = {
    "meter_id": ID,
    "dial_dm3": 100_000_000,
    "step_dm3": 10,
    "qmax_dm3_h": 6000,
    "compensated": True,
    "algorithm": "EdDSA",
    "public_key": OLD.public.hex(),
}
PHOTO: Final = "ab" * 32


async def provision(api: Api, **change: object) -> tuple[int, Any]:
    return await api.call("POST", "/v1/devices", token=api.operator, json={**DEVICE, **change})


async def post(api: Api, path: str, json: object = None, meter_id: str = ID) -> tuple[int, Any]:
    return await api.call("POST", f"/v1/meters/{meter_id}/{path}", token=api.operator, json=json)


async def see(api: Api, witness: str, register_dm3: int) -> tuple[int, Any]:
    return await post(
        api,
        "start-register",
        {"witness": witness, "register_dm3": register_dm3, "photo_digest": PHOTO},
    )


async def custody(api: Api, word: str, json: object) -> tuple[int, Any]:
    return await api.call("POST", f"/v1/devices/{ID}/{word}", token=api.operator, json=json)


async def history(api: Api, meter_id: str = ID) -> Any:
    status, told = await api.call("GET", f"/v1/devices/{meter_id}/history", token=api.operator)
    assert status == 200
    return told["events"]


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


def rotation() -> dict[str, object]:
    assert isinstance(OLD.key, Ed25519PrivateKey)
    signature = OLD.key.sign(rotation_message(ID, 2, NEW.public))
    return {
        "key_epoch": 2,
        "algorithm": "EdDSA",
        "public_key": NEW.public.hex(),
        "signature": signature.hex(),
    }


class TestDevices:
    """A device ..."""

    async def test_goes_the_whole_way_to_active(self, api: Api) -> None:
        """Known, hung up, claimed, seen by two."""
        status, made = await provision(api)
        assert status == 201
        code = made.pop("claim_code")
        assert made == {
            "meter_id": ID,
            "state": "pending",
            "key_epoch": 1,
            "kid": kid_of(OLD.public).hex(),
        }
        assert kind(await see(api, "installer", 500)) == (409, "not-installed")
        place = {
            "account_id": "A-1",
            "supply_point_id": "SP-1",
            "installed_at": "2026-02-01T10:00:00+05:00",
            "opening_dm3": 500,
        }
        assert (await post(api, "installations", place))[0] == 201
        assert kind(await see(api, "installer", 500)) == (409, "not-claimed")
        pending = {"meter_id": ID, "state": "pending"}

        assert await post(api, "claim", {"code": code.lower()}) == (200, pending)
        assert await see(api, "installer", 500) == (200, pending)
        assert kind(await see(api, "installer", 501)) == (409, "witness-differs")
        assert await see(api, "resident", 500) == (200, {**pending, "state": "active"})

    async def test_shows_its_code_once(self, api: Api) -> None:
        """Neither again to who registers it again, nor in any list."""
        _, made = await provision(api)

        assert kind(await provision(api)) == (409, "meter-known")
        _, shown = await api.call("GET", f"/v1/meters/{ID}/keys", token=api.operator)
        assert made["claim_code"] not in str(shown)

    async def test_brings_a_key_of_its_own(self, api: Api) -> None:
        """Not another meter's, and none that anybody can sign for."""
        await provision(api)

        assert kind(await provision(api, meter_id="AQ-10")) == (409, "key-known")
        for public_key in ("00" * 32, "01" + "00" * 31, "04" + "00" * 64, "zz" * 32):
            answer = await provision(api, meter_id="AQ-10", public_key=public_key)
            assert kind(answer) == (422, "invalid")

    async def test_locks_after_five_wrong_codes(self, api: Api) -> None:
        """The sixth is not even looked at, the right one included."""
        _, made = await provision(api)
        wrong = {"code": "0000-0000-0000-0000"}
        answers = [kind(await post(api, "claim", wrong)) for _ in range(5)]

        assert answers == [(409, "claim-refused")] * 5
        answer = await post(api, "claim", {"code": made["claim_code"]})
        assert kind(answer) == (409, "claim-locked")

    async def test_rotates_and_revokes_its_keys(self, api: Api) -> None:
        """The old key ends in a week; the new one can be taken back at once."""
        await provision(api)

        status, keys = await post(api, "keys", rotation())
        assert status == 201
        assert [(key["key_epoch"], key["valid_until"]) for key in keys["keys"]] == [
            (2, None),
            (1, "2026-02-17T12:00:00Z"),
        ]
        assert (await post(api, "keys", rotation()))[0] == 200
        status, revoked = await post(api, "keys/2/revoke")
        assert (status, revoked["revoked_at"]) == (200, "2026-02-10T12:00:00Z")
        assert (await post(api, "keys/3/revoke"))[0] == 404
        assert (await post(api, "keys/99999999999999999999/revoke"))[0] == 404

    async def test_takes_no_key_that_the_old_one_did_not_sign(self, api: Api) -> None:
        """An operator's token alone does not make a meter believe another."""
        await provision(api)

        answer = await post(api, "keys", {**rotation(), "signature": "00" * 64})

        assert kind(answer) == (409, "rotation-refused")

    async def test_is_frozen_and_let_go_by_an_outcome(self, api: Api) -> None:
        """The answer names the case that a person has to close."""
        path = "/v1/devices/AQ-000001/freeze"
        because = {"because": "seal broken"}
        status, frozen = await api.call("POST", path, token=api.operator, json=because)

        assert (status, frozen["state"]) == (200, "frozen")
        answer = await api.call("POST", path, token=api.operator, json=because)
        assert kind(answer) == (409, "meter-state")
        status, _ = await api.call(
            "POST",
            f"/v1/cases/AQ-000001/{frozen['case_id']}/close",
            token=api.operator,
            json={"outcome": "sealed anew"},
        )
        assert status == 201
        told = await history(api, "AQ-000001")
        assert [(one["event"], one["by"], one["detail"]) for one in told] == [
            ("thawed", "a test", "sealed anew"),
            ("frozen", "a test", "seal broken"),
        ]

    async def test_is_removed_once_it_hangs_nowhere(self, api: Api) -> None:
        """For good: neither frozen, nor given a key, afterwards."""
        because = {"because": "scrapped"}
        answer = await api.call(
            "POST", "/v1/devices/AQ-000001/remove", token=api.operator, json=because
        )
        assert kind(answer) == (409, "still-installed")
        await provision(api)

        assert await custody(api, "remove", because) == (200, {"meter_id": ID, "state": "removed"})
        assert kind(await custody(api, "remove", because)) == (409, "meter-state")
        assert kind(await custody(api, "freeze", because)) == (409, "meter-state")

    async def test_gets_a_key_on_an_operators_word(self, api: Api) -> None:
        """Only after its last one was revoked; it opens a case, and stands in the history."""
        await provision(api)
        wanted = {"public_key": NEW.public.hex(), "because": "board changed"}
        assert kind(await custody(api, "keys", wanted)) == (409, "not-revoked")
        await post(api, "keys/1/revoke")

        status, key = await custody(api, "keys", wanted)
        assert (status, key["key_epoch"], key["origin"]) == (201, 2, "vouched")
        assert await custody(api, "keys", wanted) == (200, key)
        _, cases = await api.call("GET", "/v1/cases", token=api.operator)
        assert [case["kind"] for case in cases["cases"]] == ["key_vouched"]
        assert [one["event"] for one in await history(api)] == [
            "key_vouched",
            "key_revoked",
            "provisioned",
        ]
        assert kind(await custody(api, "keys", {**wanted, "public_key": "00" * 32})) == (
            422,
            "invalid",
        )

    async def test_gets_another_code_when_the_first_is_locked(self, api: Api) -> None:
        """The old label is void, the new code is shown this once and in no history."""
        _, made = await provision(api)
        for _ in range(5):
            await post(api, "claim", {"code": "0000-0000-0000-0000"})

        status, renewed = await custody(api, "code", {"because": "label torn"})

        assert status == 201
        assert kind(await post(api, "claim", {"code": made["claim_code"]})) == (
            409,
            "claim-refused",
        )
        assert (await post(api, "claim", {"code": renewed["claim_code"]}))[0] == 200
        assert kind(await custody(api, "code", {"because": "again"})) == (409, "claim-settled")
        assert renewed["claim_code"] not in str(await history(api))

    async def test_needs_a_reason(self, api: Api) -> None:
        """Nobody overrules a device without saying why."""
        await provision(api)

        for word in ("freeze", "remove", "code", "keys"):
            assert kind(await custody(api, word, {})) == (422, "invalid")
            assert kind(await custody(api, word, {"because": ""})) == (422, "invalid")

    async def test_that_nobody_knows_is_not_there(self, api: Api) -> None:
        """Every route says so in the same way."""
        for answer in (
            await api.call("GET", "/v1/meters/AQ-404/keys", token=api.operator),
            await post(api, "keys", rotation(), "AQ-404"),
            await post(api, "keys/1/revoke", None, "AQ-404"),
            await post(api, "claim", {"code": "0000-0000-0000-0000"}, "AQ-404"),
            await api.call("GET", "/v1/devices/AQ-404/history", token=api.operator),
            await custody(api, "freeze", {"because": "x"}),
            await custody(api, "remove", {"because": "x"}),
            await custody(api, "code", {"because": "x"}),
            await custody(api, "keys", {"public_key": NEW.public.hex(), "because": "x"}),
        ):
            assert kind(answer) == (404, "not-found")


class TestFirmware:
    """The list of approved firmware ..."""

    async def test_is_written_word_by_word(self, api: Api) -> None:
        """Each word has a name and a reason; the latest counts."""
        word = {
            "meter_type": "ultrasonic",
            "firmware_sha256": "ab" * 32,
            "approved": True,
            "because": "tested",
        }

        async def say(**change: object) -> tuple[int, Any]:
            return await api.call(
                "POST", "/v1/firmwares", token=api.operator, json={**word, **change}
            )

        status, said = await say()
        assert (status, said) == (
            201,
            {**word, "revision": 1, "said_by": "a test", "said_at": "2026-02-10T12:00:00Z"},
        )
        assert await say() == (200, said)
        status, back = await say(approved=False, because="leaks")
        assert (status, back["revision"]) == (201, 2)
        for query, count in (("", 2), ("?meter_type=ultrasonic", 2), ("?meter_type=pulse", 0)):
            _, found = await api.call("GET", f"/v1/firmwares{query}", token=api.operator)
            assert len(found["firmwares"]) == count
        assert kind(await say(firmware_sha256="ab" * 16)) == (422, "invalid")
        assert kind(await say(meter_type="Ultra sonic")) == (422, "invalid")
