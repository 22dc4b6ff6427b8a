"""The short way to the bank beside the long one: the same answers, and the same dangers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from billing.bank import Accepted, Answer, Rejected, Unknown
from billing.io.bank import BankClient
from tests.world.chance import repeatable
from tests.world.loop import Process
from tests.world.play import quiet
from tests.world.town import DAY_S, World, build

KEY: Final = "debit:v1:ACC-1:2026-01:1"
Act = Callable[[World, BankClient], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of it, the orders at the bank, and the connections that were made for it."""

    said: object
    paid: int
    wires: int


def play(act: Act, *, long_way: bool) -> Seen:
    """Let a service of a settled town do something; a dead one says None."""
    with repeatable("way"):
        world = build("way")
        world.network.long_way = long_way
        said: list[object] = []

        async def serve() -> None:
            async with world.client() as bank:
                said.append(await act(world, bank))

        async def live() -> None:
            await world.open_bank()
            process = world.services["service"] = Process("service")
            world.loop.spawn(process, serve())
            await asyncio.sleep(DAY_S)

        with quiet(world):
            try:
                world.settle_in(1)
                world.loop.run_until_complete(live())
            finally:
                world.forget()
        paid = len(world.bank.documents("payments"))
        return Seen(said=said[0] if said else None, paid=paid, wires=len(world.connectors))


def order(world: World, amount_minor: int = 5_000) -> bytes:
    """Return an order to pay under the town's first mandate."""
    wanted = {
        "amount": amount_minor,
        "currency": "KZT",
        "charge_date": world.day(9).isoformat(),
        "metadata": {"intent": KEY},
        "links": {"mandate": world.homes[0].bank_mandate_id},
    }
    return json.dumps({"payments": wanted}).encode()


async def pay(world: World, bank: BankClient) -> Answer:
    """Give the bank one order."""
    world.checks = None
    return await bank.create_payment(order(world), KEY)


async def everything(world: World, bank: BankClient) -> list[object]:
    """Ask the bank for all kinds of things."""
    paid = await pay(world, bank)
    assert isinstance(paid, Accepted)
    again = await pay(world, bank)
    refused = await bank.create_payment(order(world, -1), f"{KEY}0")
    payment = await bank.get_payment(paid.payment.payment_id)
    events = await bank.list_events(limit=3)
    older = await bank.list_events(after=events.events[-1].event_id, limit=3)
    mandate = await bank.get_mandate(world.homes[0].bank_mandate_id)
    nothing = await bank.get_mandate("MD1")
    cancelled = await bank.cancel_payment(paid.payment.payment_id)
    assert isinstance(refused, Rejected)
    return [paid, again, refused, payment, events, older, mandate, nothing, cancelled]


class TestTheShortWay:
    """It spares work, and nothing else."""

    def test_brings_the_same_answers(self) -> None:
        """What the service hears must not depend on the way."""
        short, long = play(everything, long_way=False), play(everything, long_way=True)
        assert short.said == long.said
        assert (short.wires, long.wires) == (0, 1)

    @pytest.mark.parametrize("moment", ["before_send", "after_send", "after_answer"])
    @pytest.mark.parametrize("long_way", [False, True])
    def test_has_the_same_moments_to_be_killed_at(self, moment: str, *, long_way: bool) -> None:
        """Before its order has left, after, and when the answer is there."""

        async def die(world: World, bank: BankClient) -> object:
            world.kill_rates = {moment: 1.0}
            world.loop.on_death = None
            return await pay(world, bank)

        seen = play(die, long_way=long_way)
        assert (seen.said, seen.paid) == (None, 0 if moment == "before_send" else 1)

    def test_does_not_outrun_a_storm(self) -> None:
        """A cut that begins while the answer is on its way loses it."""

        async def cut(world: World, bank: BankClient) -> object:
            world.on_moment = lambda _: setattr(
                world.network.weather, "cut_from_bank_until", 2 * DAY_S
            )
            return await pay(world, bank)

        assert play(cut, long_way=False).said == Unknown(reason="timeout")

    def test_is_not_taken_where_a_fault_may_strike(self) -> None:
        """Faults need the real client to show what it makes of them."""

        async def fog(world: World, bank: BankClient) -> object:
            world.network.weather.rates = {"truncated": 1.0}
            return await pay(world, bank)

        async def ill(world: World, bank: BankClient) -> object:
            world.bank.fault("garbled", 100.0)
            return await pay(world, bank)

        assert play(fog, long_way=False).said == Unknown(reason="connection_lost")
        assert play(ill, long_way=False).said == Unknown(reason="garbled")
        assert play(ill, long_way=False).wires == 1
