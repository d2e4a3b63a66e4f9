"""PUT and DELETE of files (RFC 9110 §9.3.4, §9.3.5): who may, under which conditions, one change after another."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred, DeferredLock

from netstack.http.answers import HTML, error
from netstack.http.conditional import evaluate
from netstack.http.events import Continue, Respond
from netstack.http.media import media_type
from netstack.http.passwords import basic_credentials, verify
from netstack.http.store import Representation, Store
from netstack.http.wire import BadMessage, Request
from netstack.kernel.machine import Machine
from netstack.kernel.passwords import Verifier
from netstack.kernel.roles import Connection
from netstack.sansio.bounds import all_positive

CHANGED = "files"
"""What workers are told when one has changed a file."""
VERIFY_COST, WRITE_COST = 0.05, 0.005
"""Seconds in the simulation."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of changes, for all connections together."""

    memory: int = 64 * 1024 * 1024
    """Octets of contents that are on their way to the disk: 503."""
    verifying: int = 32
    """Passwords that wait to be verified: 503."""

    def __post_init__(self) -> None:
        all_positive(self)


class Upload:
    """The content of one request as it arrives."""

    __slots__ = ("_dropped", "_parts", "_uploads", "ended", "octets")

    def __init__(self, uploads: "Uploads", ended: bool) -> None:
        self._uploads = uploads
        self._parts: list[bytes] = []
        self.octets = 0
        self._dropped = False
        self.ended: Deferred[None] = Deferred()
        if ended:
            self.ended.callback(None)

    def receive(self, data: bytes) -> None:
        """Some content. What nobody waits for any more, or what is too much for all uploads together, is not kept."""
        if self._dropped:
            return
        if self._uploads.octets + len(data) > self._uploads.limits.memory:
            self.drop()
            return
        self._parts.append(data)
        self.octets += len(data)
        self._uploads.octets += len(data)

    def is_dropped(self) -> bool:
        """Whether the content is not wanted any more, or was too much."""
        return self._dropped

    def end(self) -> None:
        """All has come."""
        if not self.ended.called:
            self.ended.callback(None)

    def content(self) -> bytes:
        return b"".join(self._parts)

    def drop(self) -> None:
        """Keep nothing; nobody waits any longer."""
        self._uploads.octets -= self.octets
        self.octets = 0
        self._parts.clear()
        self._dropped = True
        self.end()


class Uploads:
    """The changes of one origin."""

    def __init__(self, machine: Machine, writers: Mapping[str, Verifier], limits: UploadLimits) -> None:
        self.limits = limits
        self.octets = 0
        self._machine = machine
        self._writers = writers
        self._verifying = 0
        self._turn = DeferredLock()

    def begin(self, request: Request) -> Upload:
        """For the content of a request, which may be empty."""
        return Upload(self, not request.chunked and not request.length)

    async def change(self, store: Store, request: Request, upload: Upload, connection: Connection) -> Respond:
        """Carry out PUT or DELETE; the answer. A content that was dropped is 503; its client may be gone."""
        if connection.peer.security is None:
            return error(403, "Changes are accepted over HTTPS only: a password must not cross the network in the clear.")
        refused = await self._authenticate(request) or _unsuitable(request)
        if refused is not None:
            return refused
        if upload.is_dropped():
            return _later()
        try:
            name, now = store.current(request.path)
            status = _condition(request, now)
            if status is not None:
                return error(status)
            if request.method == "PUT":
                connection.send(Continue())
                await upload.ended
                if upload.is_dropped():
                    return _later()
            return await self._in_turn(store, request, upload, name)
        except BadMessage as refusal:
            return error(refusal.code, str(refusal))
        except (IsADirectoryError, NotADirectoryError):
            return error(409, f"{request.path} cannot be changed.")
        except FileNotFoundError:
            return error(404, f"{request.path} was not found.")
        except PermissionError:
            return error(403)
        except OSError as trouble:
            return error(507 if trouble.errno in (errno.ENOSPC, errno.EDQUOT) else 500)

    async def _authenticate(self, request: Request) -> Respond | None:
        """RFC 7617; None for a writer. The same work is done for any name and password."""
        challenge = b'WWW-Authenticate: Basic realm="files", charset="UTF-8"\r\n'
        told = basic_credentials(request.fields.get("authorization", ""))
        if told is None:
            return error(401, "", challenge)
        if self._verifying >= self.limits.verifying:
            return _later()
        name, password = told
        self._verifying += 1
        try:
            known = await self._machine.offload(lambda: verify(self._writers, name, password), VERIFY_COST)
        finally:
            self._verifying -= 1
        return None if known else error(401, "The name or the password is not right.", challenge)

    async def _in_turn(self, store: Store, request: Request, upload: Upload, name: str) -> Respond:
        """One change after another, so that a condition that holds still holds when the file is written."""
        worker = self._machine.worker
        await self._turn.acquire()
        try:
            if worker is not None:
                await self._machine.offload(worker.take_turn, WRITE_COST)
            _, now = store.current(request.path)
            status = _condition(request, now)
            if status is not None:
                return error(status)
            if request.method == "DELETE":
                await self._machine.offload(lambda: store.disk.remove(name), WRITE_COST)
                store.changed()
                await self._told()
                return Respond(204, b"")
            # A time of its own for each content, so that its entity tag is strong also when two come at once.
            wall = self._machine.wall()
            mtime = wall if now is None else max(wall, now.stat.mtime + 2e-6)
            content = upload.content()
            await self._machine.offload(lambda: store.disk.write(name, content, mtime), WRITE_COST)
            _, written = store.current(request.path)
            await self._told()
            validators = b"" if written is None else written.validators
            return Respond(204, validators) if now else Respond(201, validators + HTML, b"<!DOCTYPE html><p>Created.</p>\n")
        finally:
            if worker is not None:
                worker.end_turn()
            self._turn.release()

    async def _told(self) -> None:
        """Every worker looks its files up again: who has the answer to a change sees it, whoever is asked."""
        if self._machine.worker is not None:
            await self._machine.worker.tell_others(CHANGED, b"")


def _condition(request: Request, now: Representation | None) -> int | None:
    """RFC 9110 §13.1: 412 when a condition does not hold, 404 for the removal of nothing."""
    if now is not None:
        return evaluate(request.fields, request.method, now.etag, now.modified)
    if "if-match" in request.fields or "if-unmodified-since" in request.fields:
        return 412
    return 404 if request.method == "DELETE" else None


def _unsuitable(request: Request) -> Respond | None:
    """Contents that cannot be stored as they are (RFC 9110 §9.3.4, §14.5, §15.5.16)."""
    if request.method != "PUT":
        return None
    fields = request.fields
    if "content-range" in fields:
        return error(400, "A file is replaced as a whole: Content-Range has no place in PUT (RFC 9110 §14.5).")
    if not request.chunked and not request.http2 and "content-length" not in fields:
        return error(411, "PUT needs a content: Content-Length or Transfer-Encoding: chunked.")
    coding = fields.get("content-encoding", "identity").lower()
    if coding != "identity":
        return error(415, f"Content-Encoding: {coding[:80]} is not accepted.", b"Accept-Encoding: identity\r\n")
    told = fields.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    meant = media_type(request.path).partition(";")[0]
    if told not in (meant, "application/octet-stream"):
        return error(415, f"A file of this name is {meant}, and the request's content is {told[:80]}.")
    return None


def _later() -> Respond:
    busy = error(503, "Too many files are being sent at once.", b"Retry-After: 1\r\n")
    return Respond(busy.status, busy.fields, busy.body, close=True)
