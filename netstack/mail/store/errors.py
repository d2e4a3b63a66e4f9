"""Why the store does not do what it is asked for."""


class StoreError(Exception):
    """`status` is the enhanced code (RFC 3463) for a sender, `temporary` whether the same may work later."""

    status = "4.3.0"
    temporary = True
    result = "failed"
    """In `netstack_mail_messages_total`."""


class StoreBusy(StoreError):
    """As much work waits as may."""

    status = "4.3.2"
    result = "busy"


class StoreFailed(StoreError):
    """The disk or the database does not work; the log says more."""


class OverQuota(StoreError):
    """The account has as many messages or octets as it may."""

    status = "4.2.2"
    result = "quota"


class MessageTooLarge(StoreError):
    """No account takes such a message."""

    status = "5.2.3"
    temporary = False
    result = "large"


class NoSuchFolder(StoreError):
    """There is no folder of that name, or it is not the one that it was."""

    status = "5.2.0"
    temporary = False
    result = "folder"


class FolderRefused(StoreError):
    """A folder of that name cannot be made, renamed or deleted; the text says why."""

    status = "5.2.0"
    temporary = False
    result = "folder"
