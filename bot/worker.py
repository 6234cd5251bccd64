"""The process that talks: answers texts, sends replies, asks check-ins, translates; the clock ticks here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from apscheduler.schedulers.background import BackgroundScheduler

from bot import (
    attachments,
    audit,
    checkins,
    inbox,
    news,
    outbox,
    pacing,
    retention,
    sessions,
    staff,
    vendor_copies,
    waking,
    windows,
    work_copies,
    wrong_times,
)
from bot.clock import now
from bot.conversation import Conversation
from bot.inbox import Claimed
from bot.messages import Channel
from bot.outgoing import Outgoing
from bot.privacy import what_failed
from bot.settings import Settings
from bot.store import Store, follow_clock
from bot.understanding import Nlu, is_readable
from bot.work_copies import Work
from translations.machine import Translation

log = logging.getLogger(__name__)

TOGETHER = 50  # texts answered in one commit
GATHER = (
    0.02  # seconds in which texts gather before they are answered: nobody notices, and a commit for one costs as much as for all
)
TALKERS = 8  # texts answered by themselves at the same time; each may wait for Rasa
SENDERS = 16  # texts on their way at the same time; a vendor that hangs holds one for ten seconds
LOOK_AGAIN = 1.0  # seconds between looks when nobody wakes us: for what is to be tried again, and for a lost wake-up
BREATH = 0.01  # seconds between two looks in vain


Taken = TypeVar("Taken")


class Translates(Protocol):
    """Something that translates: translations.machine.Translator, or a fake."""

    def translate(self, text: str, source: str, target: str) -> Translation: ...


class Worker:
    """One `tellonce work` process. ``run`` returns when ``stop`` was called and what was begun is finished."""

    def __init__(
        self,
        store: Store,
        conversation: Conversation,
        channels: Mapping[str, Channel],
        nlu: Nlu,
        translator: Translates,
        settings: Settings,
        pollers: Sequence[Callable[[threading.Event], None]] = (),
    ) -> None:
        """``pollers``: each fetches texts from a vendor that is asked for them, in a thread of its own, until the event is set."""
        self._store = store
        self._conversation = conversation
        self._channels = channels
        self._nlu = nlu
        self._translator = translator
        self._settings = settings
        self._pollers = pollers
        self._stopping = threading.Event()
        self._texts_came = threading.Event()
        self._texts_to_send = threading.Event()
        self._is_behind = False  # more texts wait than are answered in one commit
        self._watch = wrong_times.Watch()
        self._doubt = wrong_times.Doubt()

    def run(self) -> None:
        """Work until stopped. On SQLite, where there is one worker, what a dead one held is taken up at once."""
        if self._store.engine.dialect.name == "sqlite":
            with self._store.transaction() as db:
                inbox.forget_leases(db)
        clock = self._clock()
        with ThreadPoolExecutor(TALKERS, "talker") as talkers, ThreadPoolExecutor(SENDERS, "sender") as senders:
            threads = [
                threading.Thread(target=waking.listen, args=(self._store, self._wake, self._stopping), name="ear"),
                threading.Thread(target=self._send, args=(senders,), name="post"),
                *(threading.Thread(target=poll, args=(self._stopping,), name="poller") for poll in self._pollers),
            ]
            clock.start()
            for thread in threads:
                thread.start()
            self._listen(talkers)
            for thread in threads:
                thread.join()
        clock.shutdown()

    def stop(self) -> None:
        """May be called from a signal handler or another thread."""
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        self._texts_came.set()
        self._texts_to_send.set()

    def close(self) -> None:
        """Give back connections, once ``run`` has returned."""
        for channel in self._channels.values():
            channel.close()
        self._store.engine.dispose()

    # -- texts ---------------------------------------------------------------------------------------------------------------

    def _listen(self, talkers: ThreadPoolExecutor) -> None:
        self._hand_out(talkers, TOGETHER, self._answer_what_waits, self.answer, self._texts_came, lambda: LOOK_AGAIN)

    def _answer_what_waits(self, most: int) -> tuple[bool, Sequence[Claimed]]:
        """Claim texts and answer together what can be; the others are to be handed out."""
        if not self._is_behind:
            self._stopping.wait(GATHER)
        with self._store.reading() as db:
            if not inbox.is_any_due(db):
                self._is_behind = False
                return False, ()
        with self._store.transaction() as db:
            claimed = inbox.claim(db, most)
        self._is_behind = len(claimed) == most
        left: Sequence[Claimed] = claimed
        try:
            left = self._conversation.handle_together(claimed)
        except Exception as error:
            log.warning("%d texts are answered one by one, not together: %s", len(claimed), what_failed(error))
        if len(left) < len(claimed):
            self._wake()
        return bool(claimed), left

    def _hand_out(
        self,
        pool: ThreadPoolExecutor,
        most: int,
        claim: Callable[[int], tuple[bool, Sequence[Taken]]],
        work: Callable[[Taken], object],
        came: threading.Event,
        pause: Callable[[], float],
    ) -> None:
        """Hand what is due to threads, at most so many at once. ``claim`` says whether there was any, and which to hand out."""
        free = threading.Semaphore(most)

        def take(one: Taken) -> None:
            try:
                work(one)
            except Exception as error:  # the database went away in the middle: the lease runs out, and it is taken up again
                log.error("a text was left in the middle, to be taken up again: %s", what_failed(error))
            finally:
                free.release()

        while not self._stopping.is_set():
            free.acquire()
            idle = 1
            while free.acquire(blocking=False):
                idle += 1
            came.clear()
            is_busy = False
            taken: Sequence[Taken] = ()
            try:
                is_busy, taken = claim(idle)
                wait = 0.0 if is_busy else pause()
            except Exception as error:  # the one broad catch of the loop: a locked or lost database must not end it
                log.error("could not look for texts: %s", what_failed(error))
                wait = LOOK_AGAIN
                self._stopping.wait(LOOK_AGAIN)
            for one in taken:
                pool.submit(take, one)
            for _ in range(idle - len(taken)):
                free.release()
            if is_busy:
                continue
            self._stopping.wait(BREATH)
            came.wait(wait)

    def answer(self, message: Claimed) -> None:
        """Handle one text; what fails three times becomes a case for a person."""
        try:
            if message.attempts > inbox.TRIES:
                self._conversation.hand_over(message)
            else:
                self._conversation.handle(message)
        except Exception as error:
            log.error("message %s was not answered (try %d): %s", message.id, message.attempts, what_failed(error))
            with self._store.transaction() as db:
                inbox.put_back(db, message)
        finally:
            self._texts_came.set()  # the same reporter's next text, which waited for this one
            self._texts_to_send.set()

    # -- sending -------------------------------------------------------------------------------------------------------------

    def _send(self, senders: ThreadPoolExecutor) -> None:
        def claim(_most: int) -> tuple[bool, Sequence[Outgoing]]:
            one = outbox.claim_next(self._store, self._channels)
            return one is not None, [one] if one else []

        def deliver(outgoing: Outgoing) -> None:
            outbox.deliver(self._store, self._channels, outgoing)
            self._texts_to_send.set()  # the same reporter's next text

        def pause() -> float:
            with self._store.reading() as db:
                return min(LOOK_AGAIN, pacing.free_in(db))

        self._hand_out(senders, SENDERS, claim, deliver, self._texts_to_send, pause)

    # -- the clock -----------------------------------------------------------------------------------------------------------

    def _clock(self) -> BackgroundScheduler:
        """APScheduler only ticks: what is due stands in the tables, so a missed tick or a restart loses nothing."""
        clock = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
        for seconds, what, tick in (
            (1, "translate and classify", self.process_copies),
            (5, "ask check-ins", self.ask_check_ins),
            (2, "hear the vendors' early news", self.hear_news),
            (5, "delete what vendors hold", self.delete_copies),
            (2, "fetch files", self.fetch_files),
            (5, "forget anonymous addresses", self.forget_addresses),
            (60, "erase what is over", self.erase_expired),
            (600, "erase what is past its time", self.purge),
            (3600, "send the head of the read log", self.send_head),
            (60, "follow the database's clock", lambda: follow_clock(self._store)),
            (1, "mend what a wrong clock left", self.mend_times),
        ):
            clock.add_job(self._tick, "interval", seconds=seconds, args=(what, tick))
        return clock

    def _tick(self, what: str, tick: Any) -> Any:
        try:
            return tick()
        except Exception as error:
            log.error("could not %s: %s", what, what_failed(error))
            return None

    def ask_check_ins(self) -> int:
        """Ask every check-in that is due. Returns how many."""
        asked = 0
        while True:
            due: checkins.Due | None = None
            try:
                with self._store.transaction() as db:
                    due = checkins.claim_due(db, self._settings.check_in_hour, self._settings.time_zone)
                    if due is None:
                        return asked
                    self._conversation.check_in(db, due)
                asked += 1
            except Exception as error:  # one that fails must not keep the others from being asked
                if due is None:
                    raise
                log.error("check-in %s was not asked: %s", due.id, what_failed(error))
                with self._store.transaction() as db:
                    checkins.put_off(db, due.id)

    def process_copies(self) -> int:
        """Translate and classify every working copy, seal the results, erase the copy. Returns how many."""
        done = 0
        while not self._stopping.is_set():
            with self._store.transaction() as db:
                work = work_copies.claim(db)
            if work is None:
                break
            translated, suggestion = self._translated(work), self._suggested(work)
            with self._store.transaction() as db:
                work_copies.finish(db, work, translated, suggestion)
            done += 1
        return done

    def _translated(self, work: Work) -> dict[str, Any] | None:
        """Each text in the working language; None while the translation process does not answer."""
        target = self._settings.working_language
        if "translation" not in work.wanted or work.language in (None, target):
            return {}
        found = {name: self._translator.translate(text, str(work.language), target) for name, text in work.texts.items()}
        if any("engine_down" in translation.flags for translation in found.values()):
            return None
        return {name: as_dict(translation) for name, translation in found.items()}

    def _suggested(self, work: Work) -> dict[str, Any] | None:
        """The likely motivation; None while Rasa does not answer."""
        if "suggestion" not in work.wanted or "story" not in work.texts:
            return {}
        if not is_readable(work.texts["story"], work.language):
            return {"state": "unsupported", "motivations": []}
        understood = self._nlu.understand(work.texts["story"], work.language)
        if understood.is_silent:
            return None
        return {**understood.bias, "incident": list(understood.incident), "told": sorted(understood.told)}

    def hear_news(self) -> int:
        with self._store.transaction() as db:
            return news.hear_news(db)

    def delete_copies(self) -> int:
        return vendor_copies.delete_due(self._store, self._channels)

    def fetch_files(self) -> int:
        return attachments.fetch_due(self._store, self._channels)

    def forget_addresses(self) -> int:
        if not self._doubt.may_erase(self._store):
            return 0
        with self._store.transaction() as db:
            return outbox.forget_addresses(db)

    def erase_expired(self) -> int:
        """Erase what nobody finished, unless the clock is in doubt. Returns how many conversations."""
        with self._store.transaction() as db:
            staff.end_idle_sessions(db, timedelta(minutes=self._settings.session_idle_minutes))
        if not self._doubt.may_erase(self._store):
            return 0
        if self._store.vault.days:
            self._store.vault.days.destroy_before((now() - sessions.UNFINISHED_LIVES - timedelta(days=1)).date())
        with self._store.transaction() as db:
            self._conversation.offer_again(db)
            windows.erase_late(db)
            attachments.erase_without_case(db)
            return sessions.erase_expired(db)

    def mend_times(self) -> int:
        if mended := self._watch.look(self._store):
            log.warning("the clock was put back: %d leases and waits were shortened", mended)
            self._wake()
        return mended

    def purge(self) -> retention.Erased:
        if not self._doubt.may_erase(self._store):
            return retention.Erased()
        limits = retention.Limits(timedelta(days=self._settings.case_days), timedelta(days=self._settings.reporter_days))
        return retention.purge(self._store, limits)

    def send_head(self) -> None:
        """The end of the read log goes off this machine, so that nobody can write the log anew unseen."""
        with self._store.reading() as db:
            if self._settings.audit_head_file is None:
                log.info("head of the read log: %s", audit.head(db))
            elif sent := audit.send_head(db, self._settings.audit_head_file):
                log.info("head of the read log sent: entry %d", sent.sequence)


def as_dict(translation: Translation) -> dict[str, Any]:
    """A translation as it is sealed: {"text", "engine", "route", "flags", "model"}, with "doubtful" where words may be wrong."""
    sealed = {
        "text": translation.text,
        "engine": translation.engine,
        "route": list(translation.route),
        "flags": list(translation.flags),
        "model": translation.model,
    }
    return sealed | ({"doubtful": list(translation.doubtful)} if translation.doubtful else {})
