"""Replies and reports by IMAP, from a real Dovecot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from dovecot import PASSWORD, Dovecot, running
from launched import Launched, Send, launch

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, NotFound, UsageError
from outreachdb.events import inboxes
from outreachdb.events.inbound import events_of
from outreachdb.events.inboxes import Account
from outreachdb.secrets import Keyring

NOW = datetime.now(UTC).replace(microsecond=0)
BOX = "sales@sender.example"


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with running() as server:
        yield server


def _mail(sender: str, body: str = "Hello", **headers: str) -> bytes:
    given = {
        "From": sender, "To": BOX, "Subject": "Re: hi", "Date": format_datetime(NOW),
        "Message-ID": f"<{uuid4().hex}@x.example>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
    return "".join(f"{name}: {value}\r\n" for name, value in given.items()).encode() + b"\r\n" + body.encode() + b"\r\n"


def _report(kind: str, parts: list[tuple[str, str]], **headers: str) -> bytes:
    body = "".join(f"--cut\r\nContent-Type: {name}\r\n\r\n{text}\r\n" for name, text in parts) + "--cut--\r\n"
    content_type = f'multipart/report; report-type={kind}; boundary="cut"'
    return _mail("MAILER-DAEMON@mx.example", body, Content_Type=content_type, MIME_Version="1.0", **headers)


def _original(send: Send) -> str:
    return f"From: {BOX}\r\nTo: {send.recipient}\r\nMessage-ID: {send.message_id}\r\nSubject: hi\r\n\r\nText\r\n"


def _bounce(send: Send, *recipients: tuple[str, str, str]) -> bytes:
    """A delivery report as RFC 3464 has it: a block on the message, one on each recipient."""
    told = "Reporting-MTA: dns; mx.example\r\n\r\n" + "\r\n".join(
        f"Final-Recipient: rfc822; {who}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} said\r\n"
        for who, action, status in recipients
    )
    parts = [("text/plain", "It failed."), ("message/delivery-status", told), ("message/rfc822", _original(send))]
    return _report("delivery-status", parts)


def _told(keyring: Keyring, mail: bytes) -> list[tuple[str, str | None, str | None, str | None]]:
    found = events_of(keyring, mail, NOW, BOX)
    return [(event.event, event.severity, event.recipient, event.message_id) for event in found]


@pytest.fixture
async def campaign(tenant: Tenant, keyring: Keyring) -> Launched:
    return await launch(tenant, keyring, leads=6)


async def test_what_a_mail_tells(campaign: Launched, keyring: Keyring) -> None:
    send = campaign.sends[0]
    ours, who = send.message_id, send.recipient
    forged = replace(send, message_id=ours.replace("o1.", "o1.9", 1))
    vacation = {"In_Reply_To": ours, "Auto_Submitted": "auto-replied"}
    arf = f"Feedback-Type: abuse\r\nUser-Agent: FBL/1.0\r\nVersion: 1\r\nOriginal-Rcpt-To: <{who}>\r\n"
    headers = [("text/plain", "x"), ("message/feedback-report", arf), ("text/rfc822-headers", _original(send))]
    shown = "Final-Recipient: rfc822; x\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"
    receipt = [("text/plain", "x"), ("message/disposition-notification", shown), ("message/rfc822", _original(send))]
    cases: list[tuple[bytes, list[tuple[str, str | None, str | None, str | None]]]] = [
        (_mail(f"Ann <{who}>", In_Reply_To=ours), [("replied", None, who, ours)]),
        (_mail(who, References=f"<a@b.example> {ours}\r\n <c@d.example>"), [("replied", None, who, ours)]),
        (_mail(who, In_Reply_To=ours.upper()), [("replied", None, who, ours.upper())]),
        (_mail(who, In_Reply_To=ours, Auto_Submitted="no"), [("replied", None, who, ours)]),
        (_mail(who, **vacation), [("autoresponded", None, who, ours)]),
        (_mail(who, In_Reply_To=ours, Precedence="auto_reply"), [("autoresponded", None, who, ours)]),
        (_mail(who, In_Reply_To=ours, X_Autoreply="yes"), [("autoresponded", None, who, ours)]),
        (_mail(who, Subject="unsubscribe"), [("unsubscribed", None, who, None)]),
        (_mail("friend@elsewhere.example"), []),
        (_mail(BOX, In_Reply_To=ours), []),
        (_mail(who, In_Reply_To=ours.replace("o1.", "o1.9", 1)), []),
        (_bounce(send, (who, "failed", "5.1.1")), [("bounced", "hard", who, ours)]),
        (_bounce(send, (who, "failed", "4.4.7")), [("bounced", "soft", who, ours)]),
        (_bounce(send, (who, "delayed", "4.4.1")), [("deferred", None, who, ours)]),
        (_bounce(send, (who, "delivered", "2.0.0")), [("delivered", None, who, ours)]),
        (
            _bounce(send, (who, "failed", "5.1.1"), ("bob@x.example", "failed", "5.2.2")),
            [("bounced", "hard", who, ours), ("bounced", "hard", "bob@x.example", ours)],
        ),
        (_report("feedback-report", headers), [("complained", None, who, ours)]),
        (_report("feedback-report", headers[:2]), []),
        (_bounce(forged, (who, "failed", "5.1.1")), []),
        (_report("disposition-notification", receipt), [("opened", None, "MAILER-DAEMON@mx.example", ours)]),
        (
            _mail("MAILER-DAEMON@mx.example", f"550 5.1.1 unknown\r\n{_original(send)}"),
            [("bounced", "hard", None, ours)],
        ),
        (_mail("postmaster@mx.example", f"Mailbox full\r\n{_original(send)}"), [("bounced", "soft", None, ours)]),
        (b"", []),
        (b"\xff\x00\xfe", []),
        (b"From: a\r\nFrom: b\r\nDate: never\r\nReferences: " + b"<" * 9000 + b"\r\n\r\n", []),
        (b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\n", []),
    ]
    for number, (mail, expected) in enumerate(cases):
        assert _told(keyring, mail) == expected, number


def test_the_date_of_the_mail_counts_unless_its_clock_is_off(keyring: Keyring) -> None:
    for said, expected in ((NOW - timedelta(hours=5), NOW - timedelta(hours=5)), (NOW + timedelta(days=400), NOW)):
        mail = _mail("a@b.example", Subject="unsubscribe", Date=format_datetime(said))
        (event,) = events_of(keyring, mail, NOW, BOX)
        assert event.timestamp == expected
    (event,) = events_of(keyring, _mail("a@b.example", Subject="unsubscribe", Date="never"), NOW, BOX)
    assert event.timestamp == NOW


async def _inbox(
    tenant: Tenant, keyring: Keyring, dovecot: Dovecot, user: str, password: str = PASSWORD
) -> inboxes.Inbox:
    return await inboxes.add(tenant, keyring, Account(BOX, "127.0.0.1", user, dovecot.port, "plain"), password)


async def _rows(tenant: Tenant, query: str) -> list[dict[str, Any]]:
    async with tenant.session() as session:
        return await session.all(query, {"ws": tenant.workspace_id})


async def test_a_poll_takes_each_mail_once(
    tenant: Tenant, keyring: Keyring, campaign: Launched, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "BATCH", 2)
    user = uuid4().hex
    dovecot.deliver(user, folder="Replies")
    await inboxes.add(tenant, keyring, Account(BOX, "127.0.0.1", user, dovecot.port, "plain", "Replies"), PASSWORD)
    assert (await inboxes.poll(tenant, keyring)).document() == {
        "mails": 0, "received": 0, "stored": 0, "duplicates": 0, "rejected": 0, "unknown": 0, "reasons": {},
        "problems": {},
    }  # fmt: skip
    one, two, three, four, five, _ = campaign.sends
    arf = [
        ("text/plain", "x"),
        ("message/feedback-report", "Feedback-Type: abuse\r\n"),
        ("message/rfc822", _original(four)),
    ]
    mails = [
        _mail(one.recipient, In_Reply_To=one.message_id, Subject="Yes, please"),
        _mail(two.recipient, In_Reply_To=two.message_id, Auto_Submitted="auto-replied"),
        _bounce(three, (three.recipient, "failed", "5.1.1")),
        _report("feedback-report", arf),
        _mail("someone@elsewhere.example"),
    ]
    dovecot.deliver(user, *mails, folder="Replies")
    first = await inboxes.poll(tenant, keyring)
    assert (first.mails, first.events.stored, first.events.unknown, first.problems) == (5, 4, 0, {})
    assert (await inboxes.poll(tenant, keyring)).mails == 0
    dovecot.deliver(user, _mail(five.recipient, Subject="Unsubscribe"), folder="Replies")
    assert (await inboxes.poll(tenant, keyring)).events.stored == 1
    # The mails of a restored account have other UIDs, under another validity; they tell nothing new.
    (before,) = await inboxes.listing(tenant)
    with dovecot.client(user) as client:
        client.delete_folder("Replies")
    dovecot.deliver(user, *mails[:2], folder="Replies")
    again = await inboxes.poll(tenant, keyring)
    assert (again.mails, again.events.stored, again.events.duplicates) == (2, 0, 2)
    (after,) = await inboxes.listing(tenant)
    assert (before.last_uid, after.last_uid) == (6, 2)
    assert before.uid_validity != after.uid_validity
    rows = await _rows(tenant, "SELECT status FROM outreach.leads WHERE workspace_id = %(ws)s ORDER BY id")
    assert [row["status"] for row in rows] == [
        "replied", "contacted", "bounced", "unsubscribed", "unsubscribed", "contacted"
    ]  # fmt: skip
    query = "SELECT sender, subject, direction FROM outreach.message_log WHERE workspace_id = %(ws)s ORDER BY id"
    logged = await _rows(tenant, query)
    assert {"sender": one.recipient, "subject": "Yes, please", "direction": "inbound"} in logged
    assert len(logged) == 2
    with dovecot.client(user) as client:
        client.select_folder("Replies", readonly=True)
        assert client.search(["SEEN"]) == []


async def test_a_crash_between_reading_and_noting_loses_and_doubles_nothing(
    tenant: Tenant, keyring: Keyring, campaign: Launched, dovecot: Dovecot
) -> None:
    user = uuid4().hex
    await _inbox(tenant, keyring, dovecot, user)
    send = campaign.sends[0]
    dovecot.deliver(user, _mail(send.recipient, In_Reply_To=send.message_id))
    first = await inboxes.poll(tenant, keyring)
    async with tenant.trusted() as session:
        ws = {"ws": tenant.workspace_id}
        await session.execute(
            "UPDATE outreach.inboxes SET last_uid = 0, uid_validity = NULL WHERE workspace_id = %(ws)s", ws
        )
    second = await inboxes.poll(tenant, keyring)
    assert (first.events.stored, second.events.stored, second.events.duplicates) == (1, 0, 1)


async def test_a_broken_inbox_is_told_and_keeps_no_other_back(
    tenant: Tenant, keyring: Keyring, campaign: Launched, dovecot: Dovecot
) -> None:
    await _inbox(tenant, keyring, dovecot, "wrong-" + uuid4().hex, password="not this one")
    closed = await inboxes.add(tenant, keyring, Account("closed@sender.example", "127.0.0.1", None, 1, "plain"), "x")
    await inboxes.add(tenant, keyring, Account("tls@sender.example", "127.0.0.1", port=dovecot.port), "x")
    user = uuid4().hex
    await _inbox(tenant, keyring, dovecot, user)
    send = campaign.sends[0]
    dovecot.deliver(user, _mail(send.recipient, In_Reply_To=send.message_id))
    report = await inboxes.poll(tenant, keyring)
    assert report.events.stored == 1
    assert set(report.problems) == {BOX, "closed@sender.example", "tls@sender.example"}
    assert "not this one" not in str(report.problems)
    assert [each.problem is None for each in await inboxes.listing(tenant)] == [False, False, False, True]
    await inboxes.remove(tenant, closed.id)
    with pytest.raises(NotFound):
        await inboxes.remove(tenant, closed.id)


async def test_the_password_is_sealed_and_an_account_is_read_once(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring, dovecot: Dovecot
) -> None:
    made = await _inbox(tenant, keyring, dovecot, "box")
    assert PASSWORD not in repr(made)
    assert PASSWORD not in str(made.document())
    (row,) = await _rows(tenant, "SELECT i::text AS whole FROM outreach.inboxes AS i WHERE workspace_id = %(ws)s")
    assert PASSWORD.encode().hex() not in row["whole"]
    with pytest.raises(Conflict, match="read already"):
        await _inbox(tenant, keyring, dovecot, "box")
    with pytest.raises(UsageError, match="no security named"):
        await inboxes.add(tenant, keyring, Account(BOX, "127.0.0.1", security="none"), "x")
    assert await inboxes.listing(other_tenant) == []


async def test_tls_with_a_certificate_that_is_checked(
    tenant: Tenant, keyring: Keyring, campaign: Launched, dovecot: Dovecot, database_url: str
) -> None:
    one, two, *_ = campaign.sends
    for send, security, port in ((one, "tls", dovecot.tls_port), (two, "starttls", dovecot.port)):
        user = uuid4().hex
        await inboxes.add(
            tenant, keyring, Account(f"{security}@sender.example", "localhost", user, port, security), PASSWORD
        )
        dovecot.deliver(user, _mail(send.recipient, In_Reply_To=send.message_id))
    # Nobody the system knows has signed it.
    distrusted = await inboxes.poll(tenant, keyring)
    assert (distrusted.mails, len(distrusted.problems)) == (0, 2)
    assert all("certificate" in problem.lower() for problem in distrusted.problems.values())
    async with Pools(Settings.load({}, database_url=database_url, imap_ca_file=dovecot.certificate)) as pools:
        report = await inboxes.poll(Tenant(pools, tenant.workspace_id, tenant.name), keyring)
    assert (report.events.stored, report.problems) == (2, {})
    assert [each.problem for each in await inboxes.listing(tenant)] == [None, None]
    async with Pools(Settings.load({}, database_url=database_url, imap_ca_file=Path("/nowhere.pem"))) as pools:
        unreadable = await inboxes.poll(Tenant(pools, tenant.workspace_id, tenant.name), keyring)
    assert all("imap_ca_file /nowhere.pem can't be read" in problem for problem in unreadable.problems.values())
