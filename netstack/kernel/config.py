"""A service's options from three places: a TOML file, the environment, the command line; the later one counts.

A tap declares its options once, as Twisted's usage.Options; the same names, with "-" or "_", are the file's keys and, in
capitals after `NETSTACK_<SERVICE>_`, the environment's. A wrong key or value is an error that names where it stands, the key
and what was expected.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

_NOT_SETTINGS = frozenset({"help", "version", "config"})


class LayeredOptions(usage.Options):
    """Options that can also stand in a file or in the environment.

    An option that may be repeated is a list in the file and words in the environment; given in a later place it replaces
    what an earlier one said.
    """

    service = ""
    """In the environment's names and as the file's table; by default the name of the module that has the class."""
    environment: Mapping[str, str] = os.environ
    _wrong = False

    def opt_config(self, path: str) -> None:
        """A TOML file with these options: at its top, or in a table with the service's name."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Reads all three; raises UsageError."""
        arguments = list(options or ())
        self._wrong = not {"--help", "--version"} & set(arguments)
        service = self.service or type(self).__module__.rpartition(".")[2]
        given = self._given(arguments)
        environment = self._environment(service)
        path = _last(arguments, "config") or environment.pop("config", (None, None))[1]
        file = self._file(path, service) if path else {}
        origins: dict[str, str] = {}
        for key, (origin, value) in (file | environment).items():
            if key not in given:
                origins[key] = origin
                self._apply(key, origin, value)
        try:
            self._check_numbers(arguments)
            super().parseOptions(arguments)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            key = str(error).partition(":")[0].replace("_", "-")
            if key in origins:
                raise usage.UsageError(f"{origins[key]}: {error}") from None
            raise
        self._wrong = False

    def getUsage(self, width: int | None = None) -> str:
        """All options; after a wrong one a line that says how to see them, so that the error is seen above all."""
        if not self._wrong:
            return str(super().getUsage(width))
        return f"twistd {getattr(self.parent, 'subCommand', None) or ''} --help lists all options.\n"

    def _check_numbers(self, arguments: Sequence[str]) -> None:
        """Twisted's own error for what is no number does not say of which option."""
        for key in self._given(arguments):
            kind, value = self._kind(key) if self._settings()[key] else str, _last(arguments, key)
            if kind in (int, float) and value is not None:
                try:
                    kind(value)
                except ValueError:
                    raise usage.UsageError(f"{key}: expected {_SAID[kind]}, got {value!r}") from None

    def _given(self, arguments: Sequence[str]) -> set[str]:
        """The options of the command line; getopt takes beginnings of names, too."""
        known = self._settings()
        found: set[str] = set()
        for argument in arguments:
            if argument.startswith("--"):
                name = argument[2:].partition("=")[0]
                found.update([name] if name in known else [key for key in known if key.startswith(name)])
        return found

    def _settings(self) -> dict[str, bool]:
        """Option -> whether it takes a value."""
        names = (name for name in self.longOpt if name.rstrip("=") not in _NOT_SETTINGS)
        return {name.rstrip("="): name.endswith("=") for name in names}

    def _environment(self, service: str) -> dict[str, tuple[str, Any]]:
        prefix = f"NETSTACK_{service.upper()}_"
        found: dict[str, tuple[str, Any]] = {}
        for name, value in self.environment.items():
            if name.startswith(prefix):
                key = name[len(prefix) :].lower().replace("_", "-")
                if key != "config":
                    self._known(key, f"environment {name}")
                found[key] = f"environment {name}", self._words(key, name, value)
        return found

    def _words(self, key: str, name: str, value: str) -> Any:
        """What an environment's text stands for."""
        if key == "config":
            return value
        if not self._settings()[key]:
            if value.lower() not in ("true", "false"):
                raise usage.UsageError(f"environment {name}: {key}: expected true or false, got {value!r}")
            return value.lower() == "true"
        kind = self._kind(key)
        if kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                raise usage.UsageError(f"environment {name}: {key}: expected {_SAID[kind]}, got {value!r}") from None
        return value.split() if kind is list else value

    def _file(self, path: str, service: str) -> dict[str, tuple[str, Any]]:
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise usage.UsageError(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"{path}: not TOML: {error}") from None
        inner = table.pop(service, {})
        if not isinstance(inner, dict):
            raise usage.UsageError(f"{path}: {service}: expected a table, got {inner!r}")
        found = {}
        for name, value in (table | inner).items():
            key = name.replace("_", "-")
            self._known(key, path)
            found[key] = path, value
        return found

    def _known(self, key: str, origin: str) -> None:
        known = self._settings()
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            expected = f"{near[0]}?" if near else f"one of {', '.join(sorted(known))}"
            raise usage.UsageError(f"{origin}: {key}: no such option; expected {expected}")

    def _name(self, key: str) -> str:
        """Twisted's own: flags and parameters are written as declared, methods' names with "_"."""
        found: str = self.synonyms[key if key in self.synonyms else key.replace("-", "_")]
        return found

    def _kind(self, key: str) -> type:
        """int, float, str; list for what may be repeated."""
        dispatch = self._dispatch[self._name(key)]
        if not isinstance(dispatch, usage.CoerceParameter):
            return list
        return dispatch.coerce if dispatch.coerce in (int, float) else str

    def _apply(self, key: str, origin: str, value: Any) -> None:
        name = self._name(key)
        handle = self._dispatch[name]
        if not self._settings()[key]:
            if not isinstance(value, bool):
                raise usage.UsageError(f"{origin}: {key}: expected true or false, got {value!r}")
            if value:
                handle(name, "")
            return
        kind = self._kind(key)
        values = value if kind is list and isinstance(value, list) else [value]
        for each in values:
            if not _is(each, kind):
                raise usage.UsageError(f"{origin}: {key}: expected {_SAID[kind]}, got {each!r}")
            try:
                if isinstance(handle, usage.CoerceParameter):
                    handle.dispatch(name, str(each))
                else:
                    handle(name, each)
            except usage.UsageError as error:
                raise usage.UsageError(f"{origin}: {key}: {error}") from None


_SAID = {int: "a whole number", float: "a number", str: "text", list: "text, or a list of texts"}


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, int if kind is int else str)


def _last(arguments: Sequence[str], name: str) -> str | None:
    """The value of the last `--name value` or `--name=value`."""
    found = None
    for index, argument in enumerate(arguments):
        if argument == f"--{name}" and index + 1 < len(arguments):
            found = arguments[index + 1]
        elif argument.startswith(f"--{name}="):
            found = argument.partition("=")[2]
    return found
