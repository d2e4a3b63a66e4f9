"""The bounds of a mail host, as options of the command line."""

from netstack.kernel.limits import StreamLimits
from netstack.mail.credentials import CredentialLimits
from netstack.mail.limits import AddressLimits, HeadLimits, MimeLimits
from netstack.mail.store import StoreLimits
from netstack.smtp.admission import AdmissionLimits
from netstack.smtp.authentication.checks import AuthenticationLimits
from netstack.smtp.authentication.spf import SPFLimits
from netstack.smtp.courier import CourierLimits
from netstack.smtp.directory import DirectoryLimits
from netstack.smtp.limits import QueueLimits, SMTPLimits
from netstack.smtp.mta_sts import STSLimits
from netstack.smtp.reception import ReceptionLimits
from netstack.smtp.spool import SpoolLimits
from netstack.taps.bounds import Row

SMTP, QUEUE, SPOOL, RECEPTION = SMTPLimits(), QueueLimits(), SpoolLimits(), ReceptionLimits()
AUTHENTICATING, ADMISSION, STS, DIRECTORY = AuthenticationLimits(), AdmissionLimits(), STSLimits(), DirectoryLimits()
ADDRESSES, HEADS, MIME, SPF, COURIER = AddressLimits(), HeadLimits(), MimeLimits(), SPFLimits(), CourierLimits()
CREDENTIALS, STORE, CONNECTIONS = CredentialLimits(), StoreLimits(), StreamLimits(connections=1000, idle=900.0)
ROWS: tuple[Row, ...] = (
    ("max-message", SMTP, "message", "Octets of a message (552)."),
    ("max-recipients", SMTP, "recipients", "Recipients of a message (452)."),
    ("max-messages", SMTP, "messages", "Messages of one connection (421)."),
    ("max-errors", SMTP, "errors", "Refusals on one connection (421)."),
    ("max-idle-commands", SMTP, "idle_commands", "Commands of one connection without a message between them (421)."),
    ("max-line", SMTP, "command_line", "Octets of a command (500)."),
    ("max-auth-line", SMTP, "auth_line", "Octets of AUTH and of answers to its challenges (500)."),
    ("max-text-line", SMTP, "text_line", "Octets of a line of a message (554)."),
    ("buffered", SMTP, "buffered", "Octets of pipelined input that wait; then reading stops."),
    ("command-seconds", SMTP, "command_seconds", "Time for the next command (421)."),
    ("data-seconds", SMTP, "data_seconds", "Time for more of a message (421)."),
    ("message-seconds", SMTP, "message_seconds", "Time for a whole message (421)."),
    ("max-reply-line", SMTP, "reply_line", "Octets of a line of another server's reply."),
    ("max-reply-lines", SMTP, "reply_lines", "Lines of one of its replies."),
    ("reply-seconds", SMTP, "greeting_seconds", "Time for its greeting and replies."),
    ("final-seconds", SMTP, "final_seconds", "Time for its reply to a whole message."),
    ("first-retry", QUEUE, "first_retry", "Seconds from the first attempt to the second."),
    ("retry-growth", QUEUE, "growth", "A pause to the one before it."),
    ("longest-retry", QUEUE, "longest_retry", "Longest such pause."),
    ("retry-jitter", QUEUE, "jitter", "Part of a pause by which it varies."),
    ("delay-notice", QUEUE, "delay_notice", "Age of a message at which its sender is told that it waits, seconds."),
    ("lifetime", QUEUE, "lifetime", "Age at which it is given up, seconds."),
    ("report-lifetime", QUEUE, "report_lifetime", "The same for reports."),
    ("per-destination", QUEUE, "per_destination", "Connections to one domain at once."),
    ("client-connections", QUEUE, "connections", "Connections to all domains at once."),
    ("local-deliveries", QUEUE, "local", "Messages on their way into mailboxes at once."),
    ("per-connection", QUEUE, "per_connection", "Messages of one connection to another server."),
    ("keep-connection", QUEUE, "keep", "Seconds that it waits for more of them."),
    ("returned", QUEUE, "returned", "Octets of a message that a report brings back whole."),
    ("segment", SPOOL, "segment", "Octets of one file of the queue."),
    ("spool-waiting", SPOOL, "waiting", "Octets of messages that wait to be written (452)."),
    ("spool-together", SPOOL, "together", "Records of one write."),
    ("queue-messages", SPOOL, "messages", "Messages in the queue (452)."),
    ("queue-octets", SPOOL, "octets", "Octets of all its files (452)."),
    ("incoming-memory", RECEPTION, "memory", "Octets of messages that are coming in (452)."),
    ("max-hops", RECEPTION, "hops", "Received fields of a message (554)."),
    ("verifying", CREDENTIALS, "verifying", "Passwords being verified at once (454)."),
    ("client-rate", ADMISSION, "client_rate", "Messages of one client's network in a minute (450); 0 for any number."),
    ("account-rate", ADMISSION, "account_rate", "Recipients of one account's mail in a minute (450); 0 for any number."),
    ("greylist", ADMISSION, "greylist_seconds", "Seconds that strangers are sent away for (450); 0 is none."),
    ("greylist-kept", ADMISSION, "greylist_kept", "Seconds that who came again is known."),
    ("rates-remembered", ADMISSION, "counted", "Clients, and accounts, whose mail is counted for these."),
    ("alias-depth", DIRECTORY, "depth", "Aliases of aliases."),
    ("addresses-remembered", DIRECTORY, "remembered", "Addresses here whose meaning is remembered."),
    (
        "dmarc-steps",
        AUTHENTICATING,
        "dmarc_steps",
        "Names of an author's domain, upwards, at which a DMARC record is looked for.",
    ),
    ("signatures", AUTHENTICATING, "signatures", "DKIM signatures of a message that are looked at."),
    ("greylist-remembered", ADMISSION, "greylist_remembered", "Strangers that are remembered."),
    ("spf-lookups", SPF, "lookups", "DNS look-ups of an SPF record."),
    ("spf-void", SPF, "void", "Of these, those that find nothing."),
    ("spf-exchanges", SPF, "exchanges", "Exchanges of a mechanism mx, names of a ptr."),
    ("max-head", HEADS, "octets", "Octets of a head that are looked at (554)."),
    ("max-fields", HEADS, "fields", "Fields of a head that are looked at (554)."),
    ("max-depth", MIME, "depth", "Parts in parts of a message that is made seven bits."),
    ("max-parts", MIME, "parts", "Parts of such a message."),
    ("max-delimiters", MIME, "delimiters", "Lines of such a message that begin as a delimiter does."),
    ("max-local-part", ADDRESSES, "local", "Octets of an address before the @ (501)."),
    ("max-domain", ADDRESSES, "domain", "Octets after it (501)."),
    ("max-path", ADDRESSES, "path", "Octets of a whole path (501)."),
    ("max-exchanges", COURIER, "exchanges", "Exchanges of a domain that are looked at."),
    ("max-addresses", COURIER, "addresses", "Addresses of its exchanges that are tried in one attempt."),
    ("sts-policies", STS, "policies", "Domains whose MTA-STS policy is kept."),
    ("sts-octets", STS, "octets", "Octets of an MTA-STS policy."),
    ("sts-fetch-seconds", STS, "fetch_seconds", "Seconds that fetching one may take."),
    ("sts-refresh", STS, "refresh", "Age in seconds at which one in use is fetched again."),
    ("sts-pause", STS, "pause", "Seconds after a fetch that failed."),
    ("sts-together", STS, "together", "MTA-STS policies that are fetched again at once."),
    ("store-message", STORE, "message", "Octets of a message in a mailbox."),
    ("store-octets", STORE, "octets", "Octets of a mailbox that has no quota of its own (452)."),
    ("store-messages", STORE, "messages", "Messages of a mailbox that has no quota of its own (452)."),
    ("store-inline", STORE, "inline", "Octets up to which messages are committed together with their rows."),
    ("store-unsettled", STORE, "unsettled", "Octets of those that are not in files of their own yet."),
    ("store-settle", STORE, "settle_seconds", "Seconds that they wait for others."),
    ("store-waiting", STORE, "waiting", "Deliveries to one account that wait."),
    ("store-accounts", STORE, "accounts", "Accounts whose index is open at once."),
    ("store-folders", STORE, "folders", "Folders of an account."),
    ("store-name", STORE, "name", "Octets of a folder's name."),
    ("store-keywords", STORE, "keywords", "Keywords of a message."),
    ("store-remembered", STORE, "remembered", "Deliveries of an account that are known again."),
    ("store-vanished", STORE, "vanished", "Expunged messages of a folder that are remembered."),
    ("store-index", STORE, "index", "Octets of an account's index."),
    ("store-ledger", STORE, "ledger", "Octets of a ledger that are not needed."),
    ("max-connections", CONNECTIONS, "connections", "Connections open at once."),
    ("idle", CONNECTIONS, "idle", "Seconds without an octet either way."),
)
