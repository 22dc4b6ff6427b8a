"""Figures that are read from the database when somebody asks for /metrics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from app.run import AWAY
from billing.io.bank_events import Hints
from billing.io.run_stops import RunStops

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What waits, as of the last time somebody asked."""

    news_waiting: Gauge
    news_oldest: Gauge
    run_stopped: Gauge
    run_waiting: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "Gauges":
        """Register the figures once."""
        return cls(
            news_waiting=Gauge(
                "aqkol_bank_news_waiting",
                "Deliveries and events that were not dealt with yet; asked: by a person",
                ("what",),
                registry=registry,
            ),
            news_oldest=Gauge(
                "aqkol_bank_news_oldest_seconds",
                "Age of the oldest delivery or event that was not dealt with yet",
                registry=registry,
            ),
            run_stopped=Gauge(
                "aqkol_debit_run_stopped",
                "1 while no debit is announced, recorded or sent",
                registry=registry,
            ),
            run_waiting=Gauge(
                "aqkol_debits_unsent",
                "Debits that were announced or recorded and not sent yet",
                ("state",),
                registry=registry,
            ),
        )

    async def look(self, pool: asyncpg.Pool, at: datetime) -> None:
        """Read the figures; where the database is away they stay as they were."""
        try:
            news = await Hints(pool).waiting(at=at)
            stopped = await RunStops(pool).stopped()
            waiting = await RunStops(pool).waiting()
        except AWAY as error:
            log.warning("metrics.stale", error=type(error).__name__)
            return
        self.news_waiting.labels(what="deliveries").set(news.deliveries)
        self.news_waiting.labels(what="events").set(news.events)
        self.news_waiting.labels(what="asked").set(news.asked)
        self.news_oldest.set(news.oldest_age.total_seconds())
        self.run_stopped.set(int(stopped is not None))
        self.run_waiting.labels(state="announced").set(waiting.announced)
        self.run_waiting.labels(state="recorded").set(waiting.recorded)
