"""Many phones at once: signed forms as Twilio posts them, sent by some clients or at a given rate, each answer checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tests.standins.twilio_api import TwilioApi, new_sid

TWIML = b"<Response/>"
# After the parts of a story: go on, it happened to me, skip why, when and where, safe, write to me, no check-in.
BY_NUMBER = ("1", "1", "0", "0", "0", "1", "1", "2")
CONFIRM = "1"


@dataclass(frozen=True)
class Text:
    """One text of one phone: the whole HTTP request, ready to be written to a socket."""

    number: str
    body: str
    sid: str
    request: bytes


@dataclass(frozen=True)
class Answered:
    """What came back, and how long it took from the moment it should have been sent, in seconds."""

    text: Text
    status: int
    is_right: bool
    took: float


class Phones:
    """Writes the texts of many numbers to one address."""

    def __init__(self, url: str) -> None:
        self._url = url + "/sms"
        self._vendor = TwilioApi()  # only to fill in and sign forms: it is never started

    def close(self) -> None:
        self._vendor._server.server_close()

    def text(self, number: str, body: str) -> Text:
        fields = self._vendor.inbound_fields(number, body, new_sid())
        form = urlencode(fields).encode()
        where = urlsplit(self._url)
        head = [
            f"POST {where.path} HTTP/1.1",
            f"Host: {where.netloc}",
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent: TwilioProxy/1.1",
            f"X-Twilio-Signature: {self._vendor.sign(self._url, list(fields.items()))}",
            f"Content-Length: {len(form)}",
        ]
        return Text(number, body, fields["MessageSid"], "\r\n".join(head).encode() + b"\r\n\r\n" + form)

    def story(self, number: str, parts: int = 1) -> list[Text]:
        """A first text that tells what happened, and more texts that go on telling; each part can be known again."""
        return [self.text(number, part) for part in story_of(number, parts)]

    def answers(self, number: str, answers: Sequence[str] = BY_NUMBER) -> list[Text]:
        return [self.text(number, answer) for answer in answers]


def story_of(number: str, parts: int) -> list[str]:
    first = f"Last night on the bus a man shouted at me and spat at me, I am {number}, part 0."
    return [first, *(f"And then he followed me to the door of my house, part {n}." for n in range(1, parts))]


def numbers(count: int, series: int = 0) -> list[str]:
    """Numbers reserved for films and demonstrations have only a thousand places, so the bench makes up its own."""
    return [f"+4479{series:02d}{n:06d}" for n in range(count)]


def closed(port: int, lines: Sequence[Sequence[Text]], clients: int) -> list[Answered]:
    """``clients`` connections, each posting the next text as soon as the last is answered; a line is one phone's, in order."""
    return asyncio.run(_closed(port, lines, clients))


def offered(port: int, texts: Sequence[Text], rate: float) -> list[Answered]:
    """Post ``rate`` texts a second whether or not the last ones are answered; a wait counts from when a text was due."""
    return asyncio.run(_offered(port, texts, rate))


def interleaved(lines: Sequence[Sequence[Text]]) -> list[Text]:
    """The first text of every line, then the second of every line…"""
    longest = max(len(line) for line in lines)
    return [line[n] for n in range(longest) for line in lines if n < len(line)]


async def _closed(port: int, lines: Sequence[Sequence[Text]], clients: int) -> list[Answered]:
    async def client(own: Sequence[Sequence[Text]]) -> list[Answered]:
        connection = await _Connection.open(port)
        found = [await connection.post(text, time.perf_counter()) for text in interleaved(own)]
        connection.close()
        return found

    shares = [lines[n::clients] for n in range(clients) if lines[n::clients]]
    return [one for answers in await asyncio.gather(*map(client, shares)) for one in answers]


async def _offered(port: int, texts: Sequence[Text], rate: float) -> list[Answered]:
    idle: list[_Connection] = []
    last: dict[str, asyncio.Task[Answered]] = {}

    async def post(text: Text, due: float, before: asyncio.Task[Answered] | None) -> Answered:
        if before is not None:
            await before  # a phone's next text is posted after its last was taken in, as its carrier does
        while idle and idle[-1].is_over:  # the server closes what was idle for some seconds
            idle.pop().close()
        try:
            connection = idle.pop() if idle else await _Connection.open(port)
            answer = await connection.post(text, due)
        except (ConnectionError, asyncio.IncompleteReadError):  # cut off: not taken in
            return Answered(text, 0, False, time.perf_counter() - due)
        idle.append(connection)
        return answer

    started, tasks = time.perf_counter() + 0.05, []
    for place, text in enumerate(texts):
        due = started + place / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(post(text, due, last.get(text.number)))
        last[text.number] = task
        tasks.append(task)
    found = [await task for task in tasks]
    for connection in idle:
        connection.close()
    return found


class _Connection:
    """One kept-alive connection to a port of loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def is_over(self) -> bool:
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()

    async def post(self, text: Text, due: float) -> Answered:
        self._writer.write(text.request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(length)
        status = int(head[9:12])
        return Answered(text, status, status == 200 and body == TWIML, time.perf_counter() - due)
