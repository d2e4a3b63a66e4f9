"""The message store: a file for each message, an index in SQLite for each account; what it acknowledged is never lost."""

from netstack.mail.store.account import AccountStore
from netstack.mail.store.errors import (
    FolderRefused,
    MessageTooLarge,
    NoSuchFolder,
    OverQuota,
    StoreBusy,
    StoreError,
    StoreFailed,
)
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.schema import INBOX, Change, Folder, Message, Quota, Usage
from netstack.mail.store.store import Delivered, MailStore

__all__ = [
    "INBOX",
    "AccountStore",
    "Change",
    "Delivered",
    "Folder",
    "FolderRefused",
    "MailStore",
    "Message",
    "MessageTooLarge",
    "NoSuchFolder",
    "OverQuota",
    "Quota",
    "StoreBusy",
    "StoreError",
    "StoreFailed",
    "StoreLimits",
    "Usage",
]
