"""A file of a case, as the reporter sent it: shown if it is a picture, else to be saved; nothing in it can run."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot import attachments, cases
from bot.web.desk import Desk

# What a browser may show of itself, known by how it begins and not by what the sender called it.
PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
SAVED = {
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/amr": "amr",
    "audio/aac": "aac",
    "video/mp4": "mp4",
    "video/3gpp": "3gp",
    "application/pdf": "pdf",
}
# No script, no frame, no request of its own, whatever a browser takes it for.
POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


def routes(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/cases/{case}/files/{file}")
    def one_file(request: Request, case: UUID, file: UUID) -> Response:
        """The file itself; that it was opened is written down."""
        with desk.at_work(request) as (db, member):
            row = cases.mine(db, member, case)
            about = next((one for one in attachments.of_case(db, member.opener, case) if one.id == file), None)
            content = attachments.content_of(db, member.opener, case, file)
            if about is None or content is None:
                raise HTTPException(404)
            cases.act(db, row.id, member.caseworker_id, "opened_file")
        kind, ending, is_picture = told_apart(content, about.type)
        shown = "inline" if is_picture else "attachment"
        name = f"{row.reference}-{file.hex[:6]}.{ending}"
        headers = {"Content-Disposition": f'{shown}; filename="{name}"', "Content-Security-Policy": POLICY}
        return Response(content, media_type=kind, headers=headers)

    return router


def told_apart(content: bytes, said: str) -> tuple[str, str, bool]:
    """The type a file is sent with, the ending of its name, and whether it is a picture: ``("image/jpeg", "jpg", True)``."""
    for beginning, kind in PICTURES.items():
        if content.startswith(beginning):
            return kind, kind.removeprefix("image/").replace("jpeg", "jpg"), True
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", "webp", True
    kind = said.partition(";")[0].strip().casefold()
    return (kind, SAVED[kind], False) if kind in SAVED else ("application/octet-stream", "bin", False)
