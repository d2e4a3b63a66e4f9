"""How a command ends other than well."""

PASS, FAIL, USAGE, WARNINGS = 0, 1, 2, 3
"""Exit codes: 2 is also "nothing to run"."""


class CommandError(Exception):
    """The command failed; the text is for the user. `code` is the exit code, `kind` is for `--json`."""

    def __init__(self, message: str, code: int = FAIL, kind: str = "failed") -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
