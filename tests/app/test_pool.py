"""The pool of the service: its rights, and connections that are handed on as they are."""

from app.pool import service_pool


class TestAConnection:
    """Whoever gets a connection gets it as if it were new."""

    async def test_has_the_rights_of_the_service(self, database_url: str) -> None:
        """Also the second one to use it: nothing puts the rights of the owner back."""
        async with service_pool(database_url, size_max=1) as pool:
            for _ in range(2):
                async with pool.acquire() as connection:
                    found = await connection.fetchrow(
                        "SELECT current_user::text AS who, current_setting('timezone') AS zone"
                    )
                    assert dict(found) == {"who": "aqkol_service", "zone": "UTC"}

    async def test_leaves_no_transaction_open(self, database_url: str) -> None:
        """A transaction that was broken off is rolled back before the next one begins."""
        async with service_pool(database_url, size_max=1) as pool:
            async with pool.acquire() as connection:
                await connection.execute("BEGIN; SET LOCAL timezone = 'Asia/Almaty'")
            async with pool.acquire() as connection:
                assert not connection.is_in_transaction()
                assert await connection.fetchval("SHOW timezone") == "UTC"

    async def test_costs_no_question_to_be_handed_on(self, database_url: str) -> None:
        """Two uses are two statements at the server, not four."""
        asked: list[str] = []
        async with service_pool(database_url, size_max=1) as pool:
            async with pool.acquire() as connection:
                connection.add_query_logger(lambda record: asked.append(record.query))
                await connection.fetchval("SELECT 1")
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 2")
        assert asked == ["SELECT 1", "SELECT 2"]
