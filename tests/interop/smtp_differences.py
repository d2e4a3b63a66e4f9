"""Where Postfix 3.7, Exim 4.96 and OpenSMTPD 6.8 answer the dialogues otherwise than ours: why ours is right, in which rows.

`different`: rows whose replies are of other classes (2yz, 3yz, 4yz, 5yz), or whose connection ends otherwise. "Allowed": the
RFCs leave it open, or ask less than ours does. `codes`: replies of the same class that differ in their code, or in the
enhanced code where both have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Differences = tuple[tuple[str, str], ...]
Codes = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Server:
    """What is known of one of them."""

    title: str
    different: Differences
    codes: Codes


POSTFIX = Server(
    "Postfix 3.7.11",
    (
        (
            "VRFY says who is a user; before EHLO, and for a name without a domain, it refuses. Ours tells strangers "
            "nothing (RFC 5321 §7.3) and answers VRFY at any time (§4.1.4). Allowed.",
            "vrfy-before-hello noop-and-vrfy-in-a-transaction vrfy-nobody",
        ),
        (
            "Has no HELP. Allowed (RFC 5321 §4.5.1).",
            "help help-with-an-argument",
        ),
        (
            "Has ETRN (RFC 1985), and refuses this queue for now. Ours has no such extension. Allowed.",
            "etrn",
        ),
        (
            "Takes white space before a command. A command begins with its verb (RFC 5321 §4.1.1).",
            "space-before-a-command",
        ),
        (
            "Closes on commands of HTTP with 221, which answers QUIT (RFC 5321 §4.2.3); ours closes with a refusal. "
            "Allowed.",
            "get post-of-a-browser",
        ),
        (
            "Takes anything as a name in EHLO, also controls, which then stand in Received. A name is a domain or a "
            "literal of at most 255 octets (RFC 5321 §4.1.1.1, §4.1.3, §4.5.3.1.2), and ASCII (RFC 6531 §3.7.1): 501.",
            """
                ehlo-two-words ehlo-no-literal ehlo-an-open-literal ehlo-an-address ehlo-not-ascii ehlo-controls
                ehlo-300-octets
            """,
        ),
        (
            "Repairs addresses that are none: stray brackets, two ats, no domain, dots in a row at the ends, controls in "
            "quotes. What it makes of them is not what was said (RFC 5321 §4.1.2): 501.",
            """
                sender-closed-bracket-alone sender-without-a-domain sender-with-two-ats sender-in-quotes-with-a-control
                sender-with-dots-at-its-ends
            """,
        ),
        (
            "Takes underscores in domains. Letters, digits and hyphens alone make one (RFC 5321 §2.3.5).",
            "sender-domain-with-an-underscore",
        ),
        (
            "Takes addresses that are not ASCII though SMTPUTF8 was not asked for. The next server need not take it (RFC "
            "6531 §3.1, §3.4): 553.",
            "sender-not-ascii",
        ),
        (
            "Strips comments from addresses. An envelope has none (RFC 5321 §4.1.2).",
            "recipient-with-a-comment",
        ),
        (
            "postmaster@ of a domain needs an entry in its tables. Ours always has one (RFC 5321 §4.5.1).",
            "recipient-postmaster-of-the-domain",
        ),
        (
            "No sub-addresses unless recipient_delimiter is set. Allowed (RFC 5233).",
            "recipient-with-a-detail",
        ),
        (
            "Takes parameters after HELO, which offers none (RFC 5321 §4.1.1.11): 555.",
            "parameter-after-helo",
        ),
        (
            "Takes a parameter twice, the last one counts. One keyword, one value (RFC 5321 §4.1.1.11, RFC 1870 §3).",
            "size-twice",
        ),
        (
            "Refuses xtext with a line end, which ours carries on as xtext, and never decoded into a line. Allowed (RFC "
            "3461 §4.4).",
            "envid-line-end",
        ),
        (
            "Offers AUTH to everybody on this port, ours to nobody here: a parameter that was not offered is 555 (RFC "
            "5321 §4.1.1.11, RFC 4954 §5).",
            "auth-parameter-without-a-log-in",
        ),
        (
            "Takes commands and lines of any length, longer ones in pieces. Ours has bounds above what is asked for (512, "
            "1000) and says so: 500, 554 (RFC 5321 §4.5.3.1.4, §4.5.3.1.6, §4.5.3.1.9). Allowed.",
            "line-of-5000 line-of-20000 text-line-of-100000",
        ),
        (
            "Reads a command to its first NUL, and drops the rest. Commands have no NUL (RFC 5321 §4.1.1).",
            "nul-in-a-command",
        ),
        (
            "Ends commands at a bare LF. A line ends in CRLF and nothing else (RFC 5321 §2.3.8): 521, and the connection "
            "ends.",
            "bare-lf-after-a-command bare-lf-after-ehlo bare-cr-in-a-command commands-between-bare-line-feeds",
        ),
        (
            "Smuggled: the message ends at a line of its own that is none, and a second mail is taken that the server "
            "before it has never seen (CVE-2023-51764; smtpd_forbid_bare_newline is off in Debian 12). The end is CRLF . "
            "CRLF, and servers MUST NOT take anything else for it (RFC 5321 §4.1.1.4).",
            """
                smuggled-lf-dot-lf smuggled-lf-dot-crlf smuggled-crlf-dot-lf smuggled-crcrlf-dot-crlf
                smuggled-crlf-dot-crcrlf smuggled-lf-lf-dot-crlf smuggled-cr-nul-lf-dot-crlf
            """,
        ),
        (
            "Takes bare CR and LF in a message for text, and passes it on to servers that may read it otherwise. They "
            "MUST NOT be sent (RFC 5321 §2.3.8): 521.",
            """
                smuggled-crlf-dot-cr smuggled-cr-dot-crlf smuggled-cr-dot-cr smuggled-cr-dot-lf smuggled-lf-dot-cr
                smuggled-lf-cr-dot-crlf smuggled-crlf-dot-cr-nul-lf
            """,
        ),
        (
            "The same in a chunk. Only BINARYMIME has bare line feeds (RFC 3030 §3, RFC 2045 §2.7): 554.",
            "bdat-bare-lf",
        ),
        (
            "Closes when a dot comes as a command after DATA was refused. 500 is for commands that are none (RFC 5321 "
            "§4.2.4), and who pipelines goes on (RFC 2920 §3.1). Allowed.",
            "pipelined-and-all-refused pipelined-mail-refused",
        ),
        (
            "Does not have BINARYMIME (RFC 3030 §3). Allowed.",
            "binarymime-by-data",
        ),
        (
            "STARTTLS throws away the mail in hand. Ours refuses it there, so that nothing is lost without a word (RFC "
            "3207 §4.2). Allowed.",
            "starttls-in-a-transaction",
        ),
        (
            "Reads the handshake out of what follows STARTTLS in the same packet, and drops the connection without a "
            "reply. 521 tells the client (RFC 3207 §6, CVE-2011-0411).",
            "starttls-with-commands-after-it",
        ),
    ),
    {
        ("252/2.7.0", "252/2.0.0"): "252 is neither yes nor no; 2.7.0 says that it is policy (RFC 3463 §3.8).",
        ("502", "500"): (
            "Commands that it does not have are all unknown to it. 502 is for those that have a meaning (RFC 5321 §4.2.4)."
        ),
        ("502", "550"): "Refuses XCLIENT to strangers. Ours has none.",
        ("501", "500"): "EXPN is unknown to it, with an argument or without.",
        ("501", "555"): (
            "Text after the address is a parameter to it, whatever it looks like. 501 is for what is no parameter, or has "
            "a value that is none (RFC 5321 §4.1.1.11)."
        ),
        ("501", "554"): (
            "Takes addresses without a domain for its own users', then says that it does not relay. They are no addresses "
            "(RFC 5321 §4.1.2)."
        ),
        ("550", "554"): "Relaying denied. 550 is for mailboxes refused for policy (RFC 5321 §4.2.3).",
        ("501/5.5.4", "501/5.1.7"): "A missing space is an error of the address to it, of the arguments to ours.",
        ("501", "552"): "A size of more than 20 digits is too large to it, and none to ours (RFC 1870 §3).",
        ("500", "501"): "NUL in an address: an error of the line to ours, of the argument to it.",
        ("554/5.4.6", "554/5.4.0"): "Too many hops: 5.4.6 is the routing loop (RFC 3463 §3.5).",
        ("503", "554"): "Out of turn is 503 (RFC 5321 §4.2.4): a chunk without recipients, STARTTLS under TLS.",
        ("538", "503"): "A log-in in the clear: it says that there is no AUTH, ours what is missing. RFC 4954 §6 says 538.",
        ("504", "535"): "A mechanism that nobody knows is no failed log-in (RFC 4954 §4).",
        ("501", "535"): "What cannot be decoded is no failed log-in (RFC 4954 §4).",
        ("500", "535"): "A line that is too long is cut and judged as a log-in. 500 says what is wrong (RFC 4954 §4).",
    },
)

EXIM = Server(
    "Exim 4.96",
    (
        (
            "VRFY before EHLO, and of a name without a domain, is a syntax error to it. VRFY takes a user's name (RFC "
            "5321 §3.5.1), at any time (§4.1.4).",
            "vrfy-before-hello noop-and-vrfy-in-a-transaction",
        ),
        (
            "Refuses QUIT with an argument. Allowed; a client that wants to go is let go by ours.",
            "quit-with-an-argument",
        ),
        (
            "Has ETRN (RFC 1985), and refuses this queue for now. Ours has no such extension. Allowed.",
            "etrn",
        ),
        (
            "A tab is no space to it. Allowed (RFC 5321 §4.1.1).",
            "tab-in-place-of-a-space",
        ),
        (
            "Goes on reading HTTP line by line until three were unknown. A browser could send commands that way: ours "
            "ends at the first. Allowed (RFC 5321 §4.2.4).",
            "get post-of-a-browser",
        ),
        (
            "Refuses underscores in EHLO (helo_allow_chars); many programs send them. Allowed.",
            "ehlo-an-underscore",
        ),
        (
            "Takes a name of any length. It has at most 255 octets (RFC 5321 §4.5.3.1.2).",
            "ehlo-300-octets",
        ),
        (
            "Reads envelope addresses as those of headers: names before the bracket, comments, dots anywhere, controls in "
            "quotes, labels of any length, an address as a domain. RFC 5321 §4.1.2 and §2.3.5 have none of it: 501.",
            """
                sender-with-a-name sender-label-of-64 sender-at-a-bare-address sender-in-quotes-with-a-control
                sender-with-dots-at-its-ends recipient-with-a-comment
            """,
        ),
        (
            "Takes addresses that are not ASCII, or no UTF-8, though SMTPUTF8 was not asked for (RFC 6531 §3.1, §3.3): "
            "553, 500.",
            "sender-not-ascii sender-latin-1",
        ),
        (
            "Takes no literals unless allow_domain_literals is set. RFC 5321 §4.1.3 has them.",
            "sender-at-a-literal relay-literal-as-sender",
        ),
        (
            "Postmaster is nobody unless an alias says so. RFC 5321 §4.5.1 wants one at every host and domain.",
            "recipient-postmaster recipient-postmaster-in-capitals recipient-postmaster-of-the-domain",
        ),
        (
            "No sub-addresses unless local_part_suffix is set. Allowed (RFC 5233).",
            "recipient-with-a-detail",
        ),
        (
            "Refuses a dot at the end of a domain. Allowed; it is the same domain (RFC 1034 §3.1).",
            "recipient-final-dot",
        ),
        (
            "Has no bound on recipients (recipients_max = 0). Ours says 452 beyond 1000 (RFC 5321 §4.5.3.1.10). Allowed.",
            "recipients-1001",
        ),
        (
            "Takes parameters that it cannot read for part of the address, or does not look at their values. They are 501 "
            "(RFC 5321 §4.1.1.11, RFC 1870 §3, RFC 3461 §4.2, §4.4).",
            "size-no-number size-without-a-value size-twice envid-no-xtext envid-empty orcpt-without-a-type",
        ),
        (
            "Takes AUTH= though it offers no AUTH here. A parameter that was not offered is 555 (RFC 5321 §4.1.1.11).",
            "auth-parameter-without-a-log-in",
        ),
        (
            "Has larger bounds for commands (16 384 octets, what is longer counts as two), and for lines. Ours has bounds "
            "above what is asked for (RFC 5321 §4.5.3.1.4, §4.5.3.1.6, §4.5.3.1.9). Allowed.",
            "line-of-5000 line-of-20000 text-line-of-100000 auth-line-of-20000",
        ),
        (
            "Takes octets that are no text in a command. Commands are ASCII, or UTF-8 where it was asked for (RFC 5321 "
            "§2.4).",
            "eight-bits-in-a-command",
        ),
        (
            "Ends commands at a bare LF. A line ends in CRLF and nothing else (RFC 5321 §2.3.8): 521, and the connection "
            "ends.",
            "bare-lf-after-a-command bare-lf-after-ehlo bare-cr-in-a-command commands-between-bare-line-feeds",
        ),
        (
            "Looks for loops when it delivers, and not before it has said 250. Allowed (RFC 5321 §6.3).",
            "received-100",
        ),
        (
            "Smuggled: a line of its own whose CRLF has a second CR before it ends the message, and a second mail is "
            "begun; only the check that nobody speaks out of turn stops it (a fixed CVE-2023-51766 covers other "
            "sequences). The end is CRLF . CRLF (RFC 5321 §4.1.1.4).",
            "smuggled-crcrlf-dot-crlf",
        ),
        (
            "Takes bare CR and LF in a message for text, and passes it on with other ends of lines. They MUST NOT be sent "
            "(RFC 5321 §2.3.8): 521.",
            """
                smuggled-lf-dot-lf smuggled-lf-dot-crlf smuggled-crlf-dot-lf smuggled-crlf-dot-cr smuggled-cr-dot-crlf
                smuggled-cr-dot-cr smuggled-cr-dot-lf smuggled-lf-dot-cr smuggled-lf-cr-dot-crlf
                smuggled-crlf-dot-crcrlf smuggled-lf-lf-dot-crlf smuggled-cr-nul-lf-dot-crlf smuggled-crlf-dot-cr-nul-lf
            """,
        ),
        (
            "The same in a chunk. Only BINARYMIME has bare line feeds (RFC 3030 §3, RFC 2045 §2.7): 554.",
            "bdat-bare-lf",
        ),
        (
            "After BDAT with a size that is none it waits for octets, or goes on as if none came. Nobody knows where the "
            "chunk ends: ours closes (RFC 3030 §2).",
            "bdat-of-no-size bdat-of-a-negative-size bdat-too-large",
        ),
        (
            "DATA after BDAT is refused, and the connection hangs: QUIT is read as part of a message. RFC 3030 §2: 503, "
            "and the next command counts.",
            "data-after-bdat",
        ),
        (
            "Does not have BINARYMIME (RFC 3030 §3). Allowed.",
            "binarymime-by-data",
        ),
        (
            "STARTTLS throws away the mail in hand. Ours refuses it there, so that nothing is lost without a word (RFC "
            "3207 §4.2). Allowed.",
            "starttls-in-a-transaction",
        ),
        (
            "Begins the handshake with what follows STARTTLS in the same packet thrown away. 521 tells the client (RFC "
            "3207 §6, CVE-2011-0411).",
            "starttls-with-commands-after-it",
        ),
        (
            "STARTTLS before EHLO is out of turn. Allowed; RFC 3207 §4 asks for nothing before it.",
            "starttls-before-ehlo",
        ),
        (
            "The table's configuration looks at the password alone, and not at whose name it is (RFC 4616 §2).",
            "auth-plain-for-somebody-else",
        ),
    ),
    {
        ("554", "503"): "DATA without a recipient: RFC 5321 §3.3 allows both.",
        ("502", "550"): "EXPN is a matter of policy to it. It is not implemented here.",
        ("501", "550"): "The same without an argument.",
        ("502", "500"): (
            "Commands that it does not have are all unknown to it. 502 is for those that have a meaning (RFC 5321 §4.2.4)."
        ),
        ("521", "500"): "HTTP is a row of unknown commands to it.",
        ("500", "501"): "Controls in a line: an error of the line to ours, of the argument to it.",
        ("501", "500"): (
            "MAIL and RCPT without FROM: and TO: are no commands to it. They are, with wrong arguments (RFC 5321 §4.2.4)."
        ),
        ("550", "501"): (
            "A literal that is not allowed is a syntax error to it. It is an address elsewhere (RFC 5321 §4.1.3)."
        ),
        ("555", "501"): "RFC 5321 §4.1.1.11 has 555 for parameters that are not known.",
        ("501", "552"): "A size that is none counts as one that is too large (RFC 1870 §3).",
        ("521", "501"): "BDAT without a size: ours closes, too.",
        ("538", "503"): "A log-in in the clear: it says that there is no AUTH, ours what is missing. RFC 4954 §6 says 538.",
        ("501", "504"): "AUTH without a mechanism lacks an argument (RFC 4954 §4).",
        ("501", "535"): "An answer that says nothing of a name and a password is malformed (RFC 4954 §4, RFC 4616 §2).",
    },
)

OPENSMTPD = Server(
    "OpenSMTPD 6.8",
    (
        (
            "Wants EHLO before RSET. RFC 5321 §4.1.4: RSET, NOOP, HELP, VRFY and QUIT may come before.",
            "rset-before-hello mail-after-rset-without-hello",
        ),
        (
            "Refuses EHLO in a transaction. It resets (RFC 5321 §4.1.4).",
            "ehlo-in-a-transaction helo-in-a-transaction",
        ),
        (
            "Does not have VRFY. RFC 5321 §4.5.1 wants it of every server; ours says 252.",
            "vrfy-before-hello noop-and-vrfy-in-a-transaction vrfy-a-user vrfy-nobody",
        ),
        (
            "Refuses arguments and blanks after commands. NOOP and HELP may have one (RFC 5321 §4.1.1.8, §4.1.1.9); white "
            "space at the end of a line SHOULD be tolerated (§4.1.1).",
            """
                quit-with-an-argument noop-with-an-argument help-with-an-argument space-after-a-command line-of-512
                line-of-1000
            """,
        ),
        (
            "A tab is no space to it. Allowed (RFC 5321 §4.1.1).",
            "tab-in-place-of-a-space",
        ),
        (
            "Refuses a dot at the end of a domain. Allowed; it is the same domain (RFC 1034 §3.1).",
            "ehlo-a-final-dot recipient-final-dot",
        ),
        (
            "Refuses addresses without brackets, which old programs send. Allowed (RFC 5321 §4.1.2).",
            "sender-without-brackets recipient-without-brackets",
        ),
        (
            "Takes senders without a domain, with an empty one, with underscores, at a bare address. They are none (RFC "
            "5321 §4.1.2, §2.3.5): 501.",
            """
                sender-without-a-domain sender-with-an-empty-domain sender-domain-with-an-underscore
                sender-at-a-bare-address
            """,
        ),
        (
            'Refuses local parts in quotes. RFC 5321 §4.1.2 has them, and "box" is box.',
            "sender-in-quotes recipient-in-quotes recipient-in-quotes-with-pairs",
        ),
        (
            "Does not have SMTPUTF8 (RFC 6531). Allowed.",
            "sender-not-ascii-and-said-so",
        ),
        (
            "Postmaster is nobody unless a table says so. RFC 5321 §4.5.1 wants one at every host and domain.",
            "recipient-postmaster recipient-postmaster-in-capitals recipient-postmaster-of-the-domain",
        ),
        (
            "Does not offer PIPELINING, and closes when two commands come at once (RFC 2920). Allowed.",
            """
                recipients-100 recipients-1001 pipelined pipelined-with-a-refused-recipient pipelined-and-all-refused
                pipelined-mail-refused pipelined-rset pipelined-next-message pipelined-after-ehlo content-with-data
            """,
        ),
        (
            "Does not offer CHUNKING (RFC 3030): a chunk is commands to it. Allowed.",
            """
                bdat bdat-in-two bdat-of-nothing bdat-without-rcpt bdat-without-mail bdat-of-no-size
                bdat-of-a-negative-size data-after-bdat rset-after-bdat bdat-with-a-dot bdat-bare-lf bdat-too-large
                binarymime-by-data
            """,
        ),
        (
            "Takes parameters after HELO, which offers none (RFC 5321 §4.1.1.11): 555.",
            "parameter-after-helo",
        ),
        (
            "Does not look at SIZE until the message is there, nor at what stands after the address without a space. A "
            "size that is too large is refused before it is sent (RFC 1870 §6.1): 552; what is none is 501 (§3).",
            """
                parameter-without-a-space parameter-two-equals size-too-large size-of-30-digits size-no-number
                size-negative size-twice
            """,
        ),
        (
            "Does not look at the values of DSN's parameters. They are 501 (RFC 3461 §4, RFC 5321 §4.1.1.11).",
            "ret-unknown ret-twice envid-no-xtext envid-empty notify-unknown orcpt-without-a-type",
        ),
        (
            "Takes AUTH= though it offers no AUTH here. A parameter that was not offered is 555 (RFC 5321 §4.1.1.11).",
            "auth-parameter-without-a-log-in",
        ),
        (
            "Closes after a line that is too long. Ours reads on to its end and goes on (RFC 5321 §4.5.3.1.9). Allowed.",
            "line-of-5000 line-of-20000 text-line-of-100000",
        ),
        (
            "Ends EHLO at a bare LF, and goes on after a bare CR. A line ends in CRLF and nothing else (RFC 5321 §2.3.8): "
            "521, and the connection ends.",
            "bare-lf-after-ehlo bare-cr-in-a-command",
        ),
        (
            "Wants a header in a message. RFC 5321 §3.3 leaves that to who reads it, and the chapter's message has none. "
            "Allowed.",
            "message-without-a-header",
        ),
        (
            "Takes bare CR in a message for text, and passes it on. It MUST NOT be sent (RFC 5321 §2.3.8): 521.",
            """
                smuggled-crlf-dot-cr smuggled-cr-dot-crlf smuggled-cr-dot-cr smuggled-cr-dot-lf smuggled-lf-dot-cr
                smuggled-lf-cr-dot-crlf smuggled-crlf-dot-crcrlf smuggled-crlf-dot-cr-nul-lf
            """,
        ),
        (
            "Smuggled: a line is read to its first NUL, so a dot before it ends the message; only that it takes no "
            "pipelined command stops the second mail. The end is CRLF . CRLF (RFC 5321 §4.1.1.4).",
            "smuggled-crlf-dot-nul-crlf",
        ),
        (
            "Debian 12's build ends every TLS handshake with an error, so nothing can be asked under TLS.",
            """
                starttls starttls-twice starttls-forgets-the-name auth-plain auth-plain-asked-for auth-in-lower-case
                auth-login auth-login-with-the-name auth-wrong-password auth-nobody auth-plain-for-somebody-else
                auth-without-a-mechanism auth-unknown-mechanism auth-no-base64 auth-no-base64-in-the-answer
                auth-empty-answer auth-plain-without-nul auth-given-up auth-twice auth-in-a-transaction
                auth-line-of-20000 auth-parameter relay-after-a-log-in relay-by-percent-after-a-log-in
            """,
        ),
        (
            "STARTTLS before EHLO is out of turn. Allowed; RFC 3207 §4 asks for nothing before it.",
            "starttls-before-ehlo",
        ),
    ),
    {
        ("250/2.1.0", "250/2.0.0"): "2.1.0 says that it is about the sender's address (RFC 3463 §3.2).",
        ("554", "503"): "DATA without a recipient: RFC 5321 §3.3 allows both.",
        ("550", "524"): "524 is for hosts that take no mail at all (RFC 7504 has 556). A mailbox that is not there is 550.",
        ("501", "553"): (
            "553 is for mailbox names that are not allowed; a path that is none is a wrong argument (RFC 5321 §4.2.3)."
        ),
        ("501", "500"): "The command is known, its argument is wrong (RFC 5321 §4.2.4).",
        ("501", "503"): "The same: nothing is out of turn.",
        ("502", "500"): (
            "Commands that it does not have are all unknown to it. 502 is for those that have a meaning (RFC 5321 §4.2.4)."
        ),
        ("500/5.5.2", "500/5.5.1"): "5.5.2 is a syntax error, 5.5.1 a command that is not valid here (RFC 3463 §3.6).",
        ("521", "500"): "500 is for commands that are none; ours says that it ends the connection.",
        ("500", "501"): "Controls in a line: an error of the line to ours, of the argument to it.",
        ("500", "553"): "Octets that no command has: an error of the line to ours, of the address to it.",
        ("553/5.6.7", "553/5.1.0"): "5.6.7 says that it is because the address is not ASCII (RFC 6531 §3.4).",
        ("501", "550"): "Addresses without a domain are nobody's to it. They are no addresses (RFC 5321 §4.1.2).",
        ("550", "501"): "Quoted local parts are an error to it. They are addresses, and nobody's (RFC 5321 §4.1.2).",
        ("555", "503"): "RFC 5321 §4.1.1.11 has 555 for parameters that are not known.",
        ("500/5.5.2", "500/5.0.0"): "A line that is too long; 5.5.2 says it is the command's syntax (RFC 3463 §3.6).",
        ("500/5.5.2", "500/5.5.4"): "Octets that no command has: an error of the line to ours, of the argument to it.",
        ("554", "500"): "500 is about commands; this is the message (RFC 5321 §4.3.2), or its end is not found.",
        ("503", "500"): "It has no BDAT.",
        ("538", "503"): "A log-in in the clear: it says that there is no AUTH, ours what is missing. RFC 4954 §6 says 538.",
    },
)

SERVERS = {"postfix": POSTFIX, "exim": EXIM, "opensmtpd": OPENSMTPD}
