"""Where a process's log goes."""

import sys
from pathlib import Path

from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)


def log_to(file: Path) -> None:
    """Append Twisted's log to a file, in a directory of our own; what is critical is also printed. Once a process."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = textFileLogObserver(file.open("a"))
    printed = FilteringLogObserver(textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.critical)])
    globalLogBeginner.beginLoggingTo([written, printed], redirectStandardIO=False, discardBuffer=True)
