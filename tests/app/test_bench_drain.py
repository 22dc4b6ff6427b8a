"""The drain of a backlog: its arithmetic, and that a small one loses nothing."""

from typing import Any

import pytest

from app.bench.drain import bench_drain, drain_of, shown_drain


def one_round(rate: float, *, sub: float = 1000.0, rss_mb: float = 90.0) -> dict[str, Any]:
    return {
        "drain_per_s": rate,
        "sub_per_s": sub,
        "unnest_per_s": 2000.0,
        "copy_per_s": 4000.0,
        "rss_mb": rss_mb,
        "lost": 1,
        "doubled": 0,
    }


class TestArithmetic:
    """Rounds of draining ..."""

    def test_are_compared_each_with_its_own_ceiling(self) -> None:
        """0.2, 0.4 and 0.5: the median of the ratios, not the ratio of the medians."""
        rounds = [one_round(200.0), one_round(400.0, rss_mb=150.0), one_round(100.0, sub=200.0)]

        found = drain_of(rounds, messages=7)

        assert found["drain_ratio"] == 0.4
        assert (found["drain_per_s"], found["sub_per_s"]) == (200.0, 1000.0)
        assert (found["ratio_to_unnest"], found["ratio_to_copy"]) == (0.1, 0.05)
        assert found["rss_mb"] == 150.0
        assert (found["lost"], found["doubled"], found["messages"]) == (3, 0, 7)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_small_backlog_is_drained_whole() -> None:
    """More than one batch waits for an ingest that was away; memory has a limit of its own."""
    found = await bench_drain(messages=5000, rounds=1)

    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["drain_ratio"] == pytest.approx(
        found["drain_per_s"] / found["sub_per_s"], abs=0.01
    )
    assert found["ratio_to_copy"] == pytest.approx(
        found["drain_per_s"] / found["copy_per_s"], abs=0.01
    )
    assert 0 < found["rss_mb"] < 200
    assert f"{found['rss_mb']:.0f} MB, lost 0, doubled 0" in shown_drain(found)
