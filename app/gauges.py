"""Figures that are read from the database when somebody asks for /metrics."""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from app.run import AWAY
from billing.io.bank_events import Hints
from billing.io.breaks import BreakDesk
from billing.io.outbox import Outbox
from billing.io.run_stops import RunStops

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What waits, as of the last time somebody asked."""

    news_waiting: Gauge
    news_oldest: Gauge
    breaks_open: Gauge
    breaks_oldest: Gauge
    reconciled_until: Gauge
    run_stopped: Gauge
    run_waiting: Gauge
    messages_waiting: Gauge
    messages_oldest: Gauge
    messages_stuck: Gauge

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
            breaks_open=Gauge(
                "aqkol_recon_breaks_open",
                "What we and the bank do not agree about, by kind",
                ("kind",),
                registry=registry,
            ),
            breaks_oldest=Gauge(
                "aqkol_recon_breaks_oldest_seconds",
                "Age of the oldest open break; 0 where none is open",
                registry=registry,
            ),
            reconciled_until=Gauge(
                "aqkol_recon_until_timestamp_seconds",
                "The midnight UTC of the last day up to which all sides agree; 0 before the first",
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
            messages_waiting=Gauge(
                "aqkol_messages_waiting", "Messages that wait to be sent", registry=registry
            ),
            messages_oldest=Gauge(
                "aqkol_messages_oldest_seconds",
                "Age of the oldest message that waits to be sent; 0 where none does",
                registry=registry,
            ),
            messages_stuck=Gauge(
                "aqkol_messages_stuck",
                "Messages that no relay has taken and that wait for a person",
                registry=registry,
            ),
        )

    async def look(self, pool: asyncpg.Pool, at: datetime) -> None:
        """Read the figures; where the database is away they stay as they were."""
        try:
            news = await Hints(pool).waiting(at=at)
            desk = BreakDesk(pool=pool)
            breaks, until = await desk.figures(), await desk.reconciled_until()
            stopped = await RunStops(pool).stopped()
            waiting = await RunStops(pool).waiting()
            messages = await Outbox(pool=pool).figures()
        except AWAY as error:
            log.warning("metrics.stale", error=type(error).__name__)
            return
        self.news_waiting.labels(what="deliveries").set(news.deliveries)
        self.news_waiting.labels(what="events").set(news.events)
        self.news_waiting.labels(what="asked").set(news.asked)
        self.news_oldest.set(news.oldest_age.total_seconds())
        self.breaks_open.clear()
        for one in breaks:
            self.breaks_open.labels(kind=one.kind).set(one.breaks)
        oldest_at = min((one.oldest_at for one in breaks), default=at)
        self.breaks_oldest.set((at - oldest_at).total_seconds())
        midnight = None if until is None else datetime.combine(until, time.min, UTC)
        self.reconciled_until.set(0 if midnight is None else midnight.timestamp())
        self.run_stopped.set(int(stopped is not None))
        self.run_waiting.labels(state="announced").set(waiting.announced)
        self.run_waiting.labels(state="recorded").set(waiting.recorded)
        self.messages_waiting.set(messages.waiting)
        self.messages_oldest.set((at - (messages.oldest_at or at)).total_seconds())
        self.messages_stuck.set(messages.stuck)
