"""`work` without its sender and its translation child: what G1 counts ends at the committed outbox row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bot import settings
from bot.app import parts
from bot.privacy import quiet_logs
from bot.processes import keep_what_is_loaded, on_stop
from bot.worker import Worker


class Talker(Worker):
    """Answers, and leaves every reply in the outbox."""

    def _send(self, senders: ThreadPoolExecutor) -> None:
        self._stopping.wait()


def main() -> None:
    quiet_logs(40)
    made = parts(settings.load())
    worker = Talker(made.store, made.conversation, made.channels, made.nlu, made.translator, made.settings)
    on_stop(worker.stop)
    keep_what_is_loaded()
    worker.run()


if __name__ == "__main__":
    main()
