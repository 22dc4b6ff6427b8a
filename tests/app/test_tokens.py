"""Tokens: what is kept of them, and for how long they open anything."""

import hashlib
from datetime import timedelta

import asyncpg
import pytest

from app.tokens import LIFETIME_MAX, caller_of, issue_token, revoke_account_tokens, revoke_token
from metering.io.route import Caller, Role
from tests.app.api_town import AT, token_for


class TestTokens:
    """A token ..."""

    async def test_says_whose_it_is(self, pool: asyncpg.Pool) -> None:
        """A resident's token carries the account, an operator's carries none."""
        resident = await token_for(pool, "A-1")
        operator = await token_for(pool, None)

        assert await caller_of(pool, resident, AT) == Caller(role=Role.RESIDENT, account_id="A-1")
        assert await caller_of(pool, operator, AT) == Caller(role=Role.OPERATOR, account_id=None)

    async def test_is_not_in_the_database(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A stolen copy of the database must open nothing: no column holds the token."""
        token = await token_for(pool, "A-1")

        rows = await owner.fetch("SELECT t::text AS whole, token_digest FROM access_token t")
        assert len(rows) == 1
        assert token not in rows[0]["whole"]
        assert token.encode().hex() not in rows[0]["whole"]
        assert rows[0]["token_digest"] == hashlib.sha256(token.encode()).digest()

    async def test_has_256_random_bits(self, pool: asyncpg.Pool) -> None:
        """43 letters of base64 are 32 bytes; two in a row share nothing."""
        one, two = await token_for(pool, None), await token_for(pool, None)

        assert len(one) == len("aq_") + 43
        assert one.startswith("aq_")
        assert one != two

    async def test_ends_on_time(self, pool: asyncpg.Pool) -> None:
        """The last instant is before the expiry, not at it."""
        token = await token_for(pool, "A-1", days=1)
        day = timedelta(days=1)

        assert await caller_of(pool, token, AT + day - timedelta(microseconds=1)) is not None
        assert await caller_of(pool, token, AT + day) is None

    async def test_can_be_taken_back(self, pool: asyncpg.Pool) -> None:
        """A lost phone: the token is dead at once, and taking it back twice harms nobody."""
        token = await token_for(pool, "A-1")

        assert await revoke_token(pool, token, AT)
        assert not await revoke_token(pool, token, AT)

        assert await caller_of(pool, token, AT) is None

    async def test_can_be_taken_back_with_all_others_of_the_account(
        self, pool: asyncpg.Pool
    ) -> None:
        """A resident who moved out has more than one phone; the neighbour keeps theirs."""
        phone, tablet = await token_for(pool, "A-1"), await token_for(pool, "A-1")
        neighbour = await token_for(pool, "A-2")

        assert await revoke_account_tokens(pool, "A-1", AT) == 2

        assert await caller_of(pool, phone, AT) is None
        assert await caller_of(pool, tablet, AT) is None
        assert await caller_of(pool, neighbour, AT) is not None

    async def test_must_be_one_of_ours(self, pool: asyncpg.Pool) -> None:
        """Whatever stands there, the answer is no and never an error."""
        garbage = ["", "aq_", "aq_" + "A" * 43, "aq_" + "\x00" * 43, "aq_é" * 11, "A" * 10_000]

        assert [await caller_of(pool, token, AT) for token in garbage] == [None] * 6

    async def test_lives_neither_never_nor_for_ever(self, pool: asyncpg.Pool) -> None:
        """A token without an end outlives the memory of why it was made."""
        for lifetime in (timedelta(0), timedelta(days=-1), LIFETIME_MAX + timedelta(seconds=1)):
            with pytest.raises(ValueError, match="days"):
                await issue_token(
                    pool, role=Role.OPERATOR, account_id=None, label="x", at=AT, lifetime=lifetime
                )

    async def test_of_a_resident_needs_an_account(self, pool: asyncpg.Pool) -> None:
        """A resident's token without an account could be anybody's."""
        with pytest.raises(ValueError, match="account"):
            await issue_token(
                pool,
                role=Role.RESIDENT,
                account_id=None,
                label="x",
                at=AT,
                lifetime=timedelta(days=1),
            )
