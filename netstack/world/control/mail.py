"""What a control client can ask of mail hosts: mail sent from a host, queues looked at and moved, mailboxes read."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netstack.world.control.names import paged, text
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.mail import PLUGIN
from netstack.world.running import RunningHost

if TYPE_CHECKING:
    from netstack.dns.paging import Pages
    from netstack.smtp.envelope import Envelope

Arguments = Mapping[str, Any]
ONE = (
    "mail.queue", "mail.message", "mail.flush", "mail.freeze", "mail.thaw", "mail.remove", "mail.list", "mail.read",
)  # fmt: skip
"""Verbs of one host."""
MOST_MESSAGE = 64 * 1024 * 1024
"""Octets of a message that is sent or read."""
HEAD = 64 * 1024
"""Octets of a waiting message that are shown."""
EVERY = 0.1
"""Seconds between items that tell of progress."""


class MailVerbs:
    """The verbs of one world. `host` finds the host that arguments name, `client` the one that sends."""

    def __init__(
        self,
        host: Callable[[Arguments], RunningHost],
        client: Callable[[Arguments], RunningHost],
        traced: Callable[..., Any],
    ) -> None:
        self._host = host
        self._client = client
        self._traced = traced
        self._pages: dict[str, Pages[dict[str, Any]]] = {}

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {
            "mail.send": self.send,
            "mail.queue": self.queue,
            "mail.message": self.message,
            "mail.flush": self.flush,
            "mail.freeze": self.freeze,
            "mail.thaw": self.thaw,
            "mail.remove": self.remove,
            "mail.list": self.list,
            "mail.read": self.read,
        }

    async def send(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"?, "from", "to": [...], "file", "server"?, "port"?, "user"?, "password"?, "cleartext"?, "hello"?, "helo"?,
        "progress"?, "trace"?} -> {"recipients": [{"to", "server", "code", "said", "accepted", "tls"}], "messages"}.

        `file` is the path of the message, which is too long for this socket. With {"progress": true} items {"octets",
        "length"} tell how far it is.
        """
        from netstack.smtp.agent import AgentError, Posted, send

        host = self._client(arguments)
        letter, way = _letter(arguments), _way(arguments)
        last = [host.machine.reactor.seconds()]

        def progress(given: int, length: int) -> None:
            if host.machine.reactor.seconds() - last[0] >= EVERY or given == length:
                last[0] = host.machine.reactor.seconds()
                stream.send({"octets": given, "length": length})

        def shown(each: Posted) -> dict[str, Any]:
            said = {"code": each.reply.code, "said": str(each.reply), "accepted": each.accepted, "tls": each.secure}
            return {"to": str(each.recipient), "server": each.server, **said}

        async def talk() -> dict[str, Any]:
            try:
                found = await send(host.machine, letter, way, progress if arguments.get("progress") else None)
            except AgentError as error:
                raise ControlError(str(error)) from None
            return {"host": host.name, "recipients": [shown(each) for each in found]}

        return await self._traced(talk, arguments)

    async def queue(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} or {"host", "next"} -> {"items": [messages], "next"}."""
        from netstack.dns.paging import Pages

        host, queue = self._host(arguments), self._service(arguments).queue

        async def begin() -> Iterator[dict[str, Any]]:
            waiting = queue.messages
            return (described(number, waiting[number]) for number in sorted(waiting) if number in waiting)

        return await paged(arguments, self._pages.setdefault(host.name, Pages()), begin)

    async def message(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "message"} -> the message, and "content": its beginning."""
        queue = self._service(arguments).queue
        number = _number(arguments)
        envelope = queue.messages.get(number)
        if envelope is None:
            raise _unknown(arguments)
        try:
            content = queue.spool.content(number)
        except Exception as error:
            raise ControlError(f"its content cannot be read: {error}") from None
        return {**described(number, envelope), "content": content[:HEAD].decode("utf-8", "replace")}

    async def flush(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "message"?} -> {"flushed": how many of those that wait are tried now}."""
        queue = self._service(arguments).queue
        numbers = list(queue.messages) if arguments.get("message") is None else [_number(arguments)]
        flushed = queue.flush(numbers)
        if arguments.get("message") is not None and not flushed:
            if numbers[0] in queue.messages:
                raise ControlError(f"{arguments['message']} is frozen; thaw it first")
            raise _unknown(arguments)
        return {"flushed": flushed}

    async def freeze(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "message"} -> {"frozen": true}: it is not tried before it is thawed."""
        if not self._service(arguments).queue.freeze(_number(arguments)):
            raise _unknown(arguments)
        return {"frozen": True}

    async def thaw(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "message"} -> {"frozen": false}: it is tried now."""
        if not self._service(arguments).queue.freeze(_number(arguments), False):
            raise _unknown(arguments)
        return {"frozen": False}

    async def remove(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "message"} -> {"removed": 1}: nobody is told."""
        if not self._service(arguments).queue.remove(_number(arguments)):
            raise _unknown(arguments)
        return {"removed": 1}

    async def list(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "account", "folder"?} or {"host", "next"} -> {"items": [messages of the mailbox], "next"}."""
        from netstack.dns.paging import Pages

        host, service = self._host(arguments), self._service(arguments)

        async def begin() -> Iterator[dict[str, Any]]:
            box, messages = await _box(service, arguments)
            return (_mail(box, each) for each in messages)

        return await paged(arguments, self._pages.setdefault(f"{host.name} mail", Pages()), begin)

    async def read(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "account", "folder"?, "uid"} -> {"uid", "octets", "content": Latin-1, an octet each character}."""
        box, messages = await _box(self._service(arguments), arguments)
        uid = arguments.get("uid")
        found = next((each for each in messages if each.uid == uid), None)
        if found is None:
            raise ControlError(f"no message {uid} in the folder; netstack mail ls shows their numbers", "usage")
        if found.size > MOST_MESSAGE:
            raise ControlError(f"the message has {found.size} octets; at most {MOST_MESSAGE} are shown")
        file = box.content(found)
        try:
            content: bytes = await self._host(arguments).machine.offload(lambda: file.read_at(0, found.size), 0.001)
        finally:
            file.close()
        return {"uid": found.uid, "octets": found.size, "content": content.decode("latin-1")}

    def _service(self, arguments: Arguments) -> Any:
        host = self._host(arguments)
        for service in host.services:
            if service.plugin == PLUGIN:
                return service.service
        raise ControlError(f"{host.name} is no mail host", "usage")


def described(number: int, envelope: "Envelope") -> dict[str, Any]:
    """A message of a queue, for people and programs."""
    return {
        "message": f"{number:X}",
        "from": "" if envelope.sender is None else str(envelope.sender),
        "octets": envelope.length,
        "arrived": envelope.arrived,
        "source": envelope.source,
        "frozen": envelope.frozen,
        "recipients": [
            {
                "to": str(each.mailbox),
                "fate": str(each.fate),
                "attempts": each.attempts,
                "due": each.due if each.due > 0 else None,
                "status": each.status,
                "said": each.said,
                "remote": each.remote,
            }
            for each in envelope.recipients
        ],
    }


async def _box(service: Any, arguments: Arguments) -> tuple[Any, Any]:
    """An account's mail and the messages of one of its folders."""
    from netstack.mail.store import StoreError

    name = text(arguments, "account").lower()
    box = service.mailboxes.account(name)
    try:
        _, messages = await box.snapshot(text(arguments, "folder", "INBOX"))
    except StoreError as error:
        raise ControlError(f"{name}: {error}", "usage") from None
    return box, messages


def _mail(box: Any, message: Any) -> dict[str, Any]:
    from netstack.mail.message import decoded, head
    from netstack.mail.store.flags import names

    file = box.content(message)
    try:
        found = head(file.read_at(0, min(message.size, HEAD)))
    finally:
        file.close()
    shown = {key: decoded(found.get(key.encode()) or b"") for key in ("from", "to", "subject", "date")}
    return {"uid": message.uid, "octets": message.size, "flags": list(names(message.bits, message.keywords)), **shown}


def _letter(arguments: Arguments) -> Any:
    from netstack.mail.addresses import AddressError, parse_mailbox
    from netstack.smtp.agent import Letter

    try:
        written = text(arguments, "from") if arguments.get("from") else ""
        sender = parse_mailbox(written, utf8=True) if written else None
        given = arguments.get("to")
        if not isinstance(given, list) or not given:
            raise ControlError("to: expected a list of addresses", "usage")
        recipients = {}
        for written in map(str, given):
            recipients[parse_mailbox(written, utf8=True)] = written
    except AddressError as error:
        raise ControlError(f"{written!r}: {error}", "usage") from None
    path = Path(text(arguments, "file"))
    if not path.is_absolute():
        raise ControlError("file: expected a path from the root", "usage")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_MESSAGE + 1)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}", "usage") from None
    if len(content) > MOST_MESSAGE:
        raise ControlError(f"a message of more than {MOST_MESSAGE} octets", "usage")
    return Letter(sender, list(recipients), content)


def _way(arguments: Arguments) -> Any:
    from netstack.smtp.agent import Way

    port, password = arguments.get("port") or 0, arguments.get("password")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise ControlError(f"port: expected a standard port, got {port!r}", "usage")
    if password is not None and not isinstance(password, str):
        raise ControlError("password: expected a text", "usage")
    texts = {key: text(arguments, key) if arguments.get(key) else "" for key in ("server", "user", "hello")}
    return Way(
        texts["server"],
        port,
        texts["user"],
        password,
        bool(arguments.get("cleartext")),
        not arguments.get("helo"),
        texts["hello"],
    )


def _number(arguments: Arguments) -> int:
    written = text(arguments, "message")
    try:
        return int(written, 16)
    except ValueError:
        raise ControlError(f"message: {written!r} is not the number of a message, such as 1F", "usage") from None


def _unknown(arguments: Arguments) -> ControlError:
    return ControlError(f"no message {arguments['message']} waits on {arguments['host']}", "usage")
