"""Payloads of every documented event type, made from the documented fields, with what they mean in the one vocabulary.

A case is (body, content type, expected events); expected are tuples of the fields named in ``FIELDS``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

FIELDS = ("event", "severity", "recipient", "timestamp", "message_id", "event_id", "reason", "url")
Case = tuple[str, bytes, str | None, list[tuple[Any, ...]]]
ANN, BOB = "ann@buyer.example", "bob@buyer.example"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sns(inner: Any, **changes: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "sns-1",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:ses",
        "Message": inner if isinstance(inner, str) else json.dumps(inner),
        "Timestamp": "2026-03-04T05:06:09.500Z",
        "SignatureVersion": "1",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    } | changes


# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
# https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
def amazon_ses() -> Iterator[Case]:
    mail = {"timestamp": "2026-03-04T05:06:07.001Z", "messageId": "ses-1", "destination": [ANN, BOB]}
    at, own = {"timestamp": "2026-03-04T05:06:08.123Z"}, "2026-03-04T05:06:08.123000+00:00"
    sent = "2026-03-04T05:06:07.001000+00:00"
    bounced = [
        {"emailAddress": ANN, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 no such user"},
        {"emailAddress": BOB},
    ]
    topics = [{"topicName": "news", "subscriptionStatus": "OptIn"}]
    both: list[tuple[str, str, dict[str, Any], str, str | None, str, list[tuple[str, str | None]], str | None]] = [
        ("Send", "send", {}, "sent", None, sent, [(ANN, None), (BOB, None)], None),
        (
            "Reject",
            "reject",
            {"reason": "Bad content"},
            "rejected",
            None,
            sent,
            [(ANN, "Bad content"), (BOB, "Bad content")],
            None,
        ),
        (
            "Rendering Failure",
            "failure",
            {"templateName": "t", "errorMessage": "no name"},
            "failed",
            None,
            sent,
            [(ANN, "no name"), (BOB, "no name")],
            None,
        ),
        (
            "Delivery",
            "delivery",
            at | {"recipients": [BOB], "smtpResponse": "250 ok"},
            "delivered",
            None,
            own,
            [(BOB, "250 ok")],
            None,
        ),
        (
            "DeliveryDelay",
            "deliveryDelay",
            at
            | {"delayType": "MailboxFull", "delayedRecipients": [{"emailAddress": ANN, "diagnosticCode": "452 full"}]},
            "deferred",
            None,
            own,
            [(ANN, "452 full")],
            None,
        ),
        (
            "Bounce",
            "bounce",
            at
            | {"bounceType": "Permanent", "bounceSubType": "General", "feedbackId": "f", "bouncedRecipients": bounced},
            "bounced",
            "hard",
            own,
            [(ANN, "smtp; 550 5.1.1 no such user"), (BOB, "Permanent: General")],
            None,
        ),
        (
            "Bounce",
            "bounce",
            at | {"bounceType": "Transient", "bounceSubType": "MailboxFull", "bouncedRecipients": bounced[1:]},
            "bounced",
            "soft",
            own,
            [(BOB, "Transient: MailboxFull")],
            None,
        ),
        (
            "Bounce",
            "bounce",
            at | {"bounceType": "Undetermined", "bounceSubType": "Undetermined", "bouncedRecipients": bounced[1:]},
            "bounced",
            "soft",
            own,
            [(BOB, "Undetermined: Undetermined")],
            None,
        ),
        (
            "Complaint",
            "complaint",
            at | {"complaintFeedbackType": "abuse", "complainedRecipients": bounced[1:]},
            "complained",
            None,
            own,
            [(BOB, "abuse")],
            None,
        ),
        (
            "Complaint",
            "complaint",
            at | {"complaintFeedbackType": "not-spam", "complainedRecipients": bounced[1:]},
            "unknown",
            None,
            own,
            [(BOB, "not-spam")],
            None,
        ),
        (
            "Open",
            "open",
            at | {"ipAddress": "192.0.2.1", "userAgent": "Mail"},
            "opened",
            None,
            own,
            [(ANN, None), (BOB, None)],
            None,
        ),
        (
            "Click",
            "click",
            at | {"link": "https://x.example/a", "userAgent": "Mail"},
            "clicked",
            None,
            own,
            [(ANN, None), (BOB, None)],
            "https://x.example/a",
        ),
        (
            "Subscription",
            "subscription",
            at | {"newTopicPreferences": {"unsubscribeAll": True}},
            "unsubscribed",
            None,
            own,
            [(ANN, None), (BOB, None)],
            None,
        ),
        (
            "Subscription",
            "subscription",
            at | {"newTopicPreferences": {"unsubscribeAll": False, "topicSubscriptionStatus": topics}},
            "subscribed",
            None,
            own,
            [(ANN, None), (BOB, None)],
            None,
        ),
        ("Vanished", "vanished", at, "unknown", None, own, [(ANN, None), (BOB, None)], None),
    ]
    for name, part, inner, event, severity, when, people, url in both:
        for key in ("eventType", "notificationType"):
            ses = {key: name, "mail": mail, part: inner}
            for where, body, event_id in (
                ("bare", ses, inner.get("feedbackId")),
                ("sns", _sns(ses), "sns-1"),
                ("eventbridge", {"id": "eb-1", "detail-type": f"Email {name}", "detail": ses}, "eb-1"),
            ):
                expected = [(event, severity, who, when, "ses-1", event_id, why, url) for who, why in people]
                yield f"{name} {key} {where}", _json(body), "text/plain; charset=UTF-8", expected
    ses = {"eventType": "Open", "mail": mail | {"destination": [ANN]}, "open": at}
    one = ("opened", None, ANN, own, "ses-1", None, None, None)
    yield "array", _json([ses, ses]), JSON, [one, one]
    yield "lines of Firehose", _json(ses) + b"\n" + _json(ses) + b"\n", None, [one, one]
    said = "Successfully validated SNS topic for Amazon SES event publishing."
    yield "about the topic", _json(_sns(said)), None, []
    confirm = _sns("confirm", Type="SubscriptionConfirmation", Token="t", SubscribeURL="https://sns.example/")
    yield "about the subscription", _json(confirm), None, []
    yield "its end", _json(confirm | {"Type": "UnsubscribeConfirmation"}), None, []


# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
def sendgrid() -> Iterator[Case]:
    base = {
        "email": ANN,
        "timestamp": 1772600767,
        "smtp-id": "<m@x.example>",
        "sg_event_id": "e1",
        "sg_message_id": "s.1",
    }
    when = "2026-03-04T05:06:07+00:00"
    kinds: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"event": "processed"}, "queued", None, None, None),
        ({"event": "deferred", "response": "400 later"}, "deferred", None, "400 later", None),
        ({"event": "delivered", "response": "250 OK"}, "delivered", None, "250 OK", None),
        (
            {"event": "bounce", "type": "bounce", "reason": "500 no", "status": "5.0.0"},
            "bounced",
            "hard",
            "500 no",
            None,
        ),
        (
            {"event": "bounce", "type": "blocked", "reason": "550 spam", "status": "5.7.1"},
            "bounced",
            "soft",
            "550 spam",
            None,
        ),
        ({"event": "dropped", "reason": "Bounced Address"}, "rejected", None, "Bounced Address", None),
        ({"event": "open", "useragent": "Mail"}, "opened", None, None, None),
        ({"event": "click", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        ({"event": "spamreport"}, "complained", None, None, None),
        ({"event": "unsubscribe"}, "unsubscribed", None, None, None),
        ({"event": "group_unsubscribe", "asm_group_id": 10}, "unsubscribed", None, None, None),
        ({"event": "group_resubscribe", "asm_group_id": 10}, "subscribed", None, None, None),
        ({"event": "account_status_change"}, "unknown", None, None, None),
    ]
    every = [(event, severity, ANN, when, "<m@x.example>", "e1", why, url) for _, event, severity, why, url in kinds]
    yield "batch", _json([base | kind for kind, *_ in kinds]), JSON, every
    exact = ("opened", None, ANN, "2026-03-04T05:06:07.250000+00:00", "<m@x.example>", "e1", None, None)
    yield "fractions", _json([base | {"event": "open", "timestamp": 1772600767.25}]), JSON, [exact]


# https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
def mailgun() -> Iterator[Case]:
    signature = {"timestamp": "1772600768", "token": "tok", "signature": "s"}
    base = {
        "id": "mg-1",
        "timestamp": 1772600767.153125,
        "recipient": ANN,
        "message": {"headers": {"message-id": "m.1@x.example", "to": f"Ann <{ANN}>"}},
    }
    when = "2026-03-04T05:06:07.153125+00:00"
    status = {"code": 550, "message": "5.1.1 unknown", "description": ""}
    kinds: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"event": "accepted", "delivery-status": None}, "queued", None, None, None),
        ({"event": "delivered", "delivery-status": {"code": 250, "message": "OK"}}, "delivered", None, "OK", None),
        (
            {"event": "failed", "severity": "permanent", "reason": "bounce", "delivery-status": status},
            "bounced",
            "hard",
            "5.1.1 unknown",
            None,
        ),
        (
            {"event": "failed", "severity": "temporary", "reason": "generic", "delivery-status": status},
            "deferred",
            None,
            "5.1.1 unknown",
            None,
        ),
        ({"event": "opened", "ip": "192.0.2.1", "client-info": {"user-agent": "Mail"}}, "opened", None, None, None),
        ({"event": "clicked", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        ({"event": "unsubscribed"}, "unsubscribed", None, None, None),
        ({"event": "complained"}, "complained", None, None, None),
        ({"event": "stored"}, "unknown", None, None, None),
    ]
    for data, event, severity, why, url in kinds:
        expected = [(event, severity, ANN, when, "<m.1@x.example>", "mg-1", why, url)]
        yield event, _json({"signature": signature, "event-data": base | data}), JSON, expected
        yield f"{event} without envelope", _json(base | data), None, expected
    rejected = base | {"event": "rejected", "reject": {"reason": "Sandbox", "description": ""}}
    del rejected["recipient"]
    expected = [("rejected", None, ANN, when, "<m.1@x.example>", "mg-1", "Sandbox", None)]
    yield "rejected names no recipient", _json({"signature": signature, "event-data": rejected}), JSON, expected
    # The legacy form: https://documentation.mailgun.com/en/latest/user_manual.html#tracking-messages
    form = {"recipient": ANN, "domain": "x.example", "Message-Id": "<m.2@x.example>"} | signature
    legacy: list[tuple[dict[str, str], str, str | None, str | None, str | None]] = [
        ({"event": "delivered"}, "delivered", None, None, None),
        (
            {"event": "dropped", "reason": "hardfail", "code": "605", "description": "bounced before"},
            "rejected",
            None,
            "bounced before",
            None,
        ),
        ({"event": "bounced", "code": "550", "error": "5.1.1 unknown"}, "bounced", "hard", "5.1.1 unknown", None),
        ({"event": "bounced", "code": "452", "error": "4.2.2 full"}, "bounced", "soft", "4.2.2 full", None),
        ({"event": "complained"}, "complained", None, None, None),
        ({"event": "unsubscribed"}, "unsubscribed", None, None, None),
        ({"event": "opened", "user-agent": "Mail"}, "opened", None, None, None),
        ({"event": "clicked", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
    ]
    when = "2026-03-04T05:06:08+00:00"
    for data, event, severity, why, url in legacy:
        expected = [(event, severity, ANN, when, "<m.2@x.example>", "tok", why, url)]
        yield f"legacy {event}", urlencode(form | data).encode(), FORM, expected
    # User variables may be called as fields are: they stand before those of the signature, and behind all others.
    mixed = urlencode([("timestamp", "1"), ("event", "opened"), *form.items(), ("recipient", BOB)]).encode()
    yield "legacy mixed", mixed, FORM, [("opened", None, ANN, when, "<m.2@x.example>", "tok", None, None)]
    parts = "".join(
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (form | {"event": "opened", "message-id": "m.2@x.example"}).items()
    )
    expected = [("opened", None, ANN, when, "<m.2@x.example>", "tok", None, None)]
    yield "legacy multipart", f"{parts}--cut--\r\n".encode(), "multipart/form-data; boundary=cut", expected
    yield "legacy multipart, no type", f"{parts}--cut--\r\n".encode(), None, expected


# https://postmarkapp.com/developer/webhooks/webhooks-overview, one page for each record type, and
# https://postmarkapp.com/developer/api/bounce-api#bounce-types
def postmark() -> Iterator[Case]:
    when = "2026-03-04T05:06:07.273539+00:00"
    at = "2026-03-04T00:06:07.2735393-05:00"
    bounces = {
        "HardBounce": ("bounced", "hard"),
        "SoftBounce": ("bounced", "soft"),
        "VirusNotification": ("bounced", "soft"),
        "Transient": ("deferred", None),
        "DnsError": ("deferred", None),
        "OpenRelayTest": ("deferred", None),
        "AutoResponder": ("autoresponded", None),
        "AddressChange": ("autoresponded", None),
        "ChallengeVerification": ("autoresponded", None),
        "BadEmailAddress": ("rejected", None),
        "ManuallyDeactivated": ("rejected", None),
        "Unconfirmed": ("rejected", None),
        "Blocked": ("rejected", None),
        "DMARCPolicy": ("rejected", None),
        "SMTPApiError": ("failed", None),
        "TemplateRenderingFailed": ("failed", None),
        "InboundError": ("unknown", None),
        "Unknown": ("unknown", None),
        "SpamNotification": ("complained", None),
        "SpamComplaint": ("complained", None),
        "Subscribe": ("subscribed", None),
        "Unsubscribe": ("unsubscribed", None),
    }
    for kind, (event, severity) in bounces.items():
        body = {
            "RecordType": "SpamComplaint" if kind == "SpamComplaint" else "Bounce",
            "ID": 2**53 + 1,
            "Type": kind,
            "MessageID": "pm-1",
            "Email": ANN,
            "BouncedAt": at,
            "Details": "smtp;550",
            "Description": "told",
        }
        expected = [(event, severity, ANN, when, "pm-1", "9007199254740993", "smtp;550", None)]
        yield kind, _json(body), JSON, expected
        yield f"{kind} of an older webhook", _json({k: v for k, v in body.items() if k != "RecordType"}), None, expected
    base = {"MessageID": "pm-1", "Recipient": ANN}
    others: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"RecordType": "Delivery", "DeliveredAt": at, "Details": "250"}, "delivered", None, "250", None),
        ({"RecordType": "Open", "FirstOpen": True, "ReceivedAt": at}, "opened", None, None, None),
        (
            {"RecordType": "Click", "ReceivedAt": at, "OriginalLink": "https://x.example/"},
            "clicked",
            None,
            None,
            "https://x.example/",
        ),
        (
            {
                "RecordType": "SubscriptionChange",
                "ChangedAt": at,
                "SuppressSending": True,
                "SuppressionReason": "ManualSuppression",
            },
            "unsubscribed",
            None,
            "ManualSuppression",
            None,
        ),
        (
            {
                "RecordType": "SubscriptionChange",
                "ChangedAt": at,
                "SuppressSending": True,
                "SuppressionReason": "HardBounce",
            },
            "bounced",
            "hard",
            "HardBounce",
            None,
        ),
        (
            {
                "RecordType": "SubscriptionChange",
                "ChangedAt": at,
                "SuppressSending": True,
                "SuppressionReason": "SpamComplaint",
            },
            "complained",
            None,
            "SpamComplaint",
            None,
        ),
        (
            {"RecordType": "SubscriptionChange", "ChangedAt": at, "SuppressSending": False, "SuppressionReason": None},
            "subscribed",
            None,
            None,
            None,
        ),
        ({"RecordType": "SMTPApiErrors", "ReceivedAt": at}, "unknown", None, None, None),
    ]
    for data, event, severity, why, url in others:
        yield data["RecordType"], _json(base | data), JSON, [(event, severity, ANN, when, "pm-1", None, why, url)]


# https://developers.brevo.com/docs/transactional-webhooks, https://developers.brevo.com/docs/marketing-webhooks
def brevo() -> Iterator[Case]:
    base = {
        "email": ANN,
        "id": 26224,
        "date": "2026-03-04 06:06:07",
        "ts": 1,
        "ts_event": 1772600767,
        "ts_epoch": 1772600767123,
        "message-id": "<b1@x.example>",
        "reason": "told",
    }
    when = "2026-03-04T05:06:07.123000+00:00"
    kinds: dict[str, tuple[str, str | None]] = {
        "request": ("queued", None),
        "delivered": ("delivered", None),
        "deferred": ("deferred", None),
        "hard_bounce": ("bounced", "hard"),
        "soft_bounce": ("bounced", "soft"),
        "invalid_email": ("bounced", "hard"),
        "blocked": ("rejected", None),
        "error": ("failed", None),
        "spam": ("complained", None),
        "complaint": ("complained", None),
        "opened": ("opened", None),
        "unique_opened": ("opened", None),
        "proxy_open": ("opened", None),
        "unique_proxy_open": ("opened", None),
        "unsubscribed": ("unsubscribed", None),
        "unsubscribe": ("unsubscribed", None),
        "list_addition": ("subscribed", None),
        "sent": ("sent", None),
        "listAddition": ("subscribed", None),
        "hardBounce": ("bounced", "hard"),
        "contact_updated": ("unknown", None),
    }
    every = [(event, severity, ANN, when, "<b1@x.example>", None, "told", None) for event, severity in kinds.values()]
    yield "batch", _json([base | {"event": name} for name in kinds]), JSON, every
    click = base | {"event": "click", "link": "https://x.example/", "ts_epoch": 1772600767}
    when = "2026-03-04T05:06:07+00:00"
    expected = [("clicked", None, ANN, when, "<b1@x.example>", None, "told", "https://x.example/")]
    yield "epoch in seconds", _json(click), JSON, expected
    del click["ts_epoch"]
    yield "no epoch", _json(click), JSON, expected
    # As documented for opens through a proxy: no other time than these two; the date is CET or CEST.
    opened = {"email": ANN, "id": 1, "date": "2026-07-04 07:06:07", "message-id": "<b1@x.example>"}
    proxied = opened | {"event": "proxy_open", "s_epoch": 1772600767123}
    when = "2026-03-04T05:06:07.123000+00:00"
    yield "proxy", _json(proxied), JSON, [("opened", None, ANN, when, "<b1@x.example>", None, None, None)]
    summer = ("opened", None, ANN, "2026-07-04T05:06:07+00:00", "<b1@x.example>", None, None, None)
    winter = opened | {"event": "unique_proxy_open", "date": "2026-03-04 06:06:07"}
    both = [summer, (*summer[:3], "2026-03-04T05:06:07+00:00", *summer[4:])]
    yield "date alone", _json([opened | {"event": "proxy_open"}, winter]), JSON, both


# https://dev.mailjet.com/email/guides/webhooks/
def mailjet() -> Iterator[Case]:
    base = {"email": ANN, "time": 1772600767, "MessageID": 19421777835146490, "Message_GUID": "g", "CustomID": "c"}
    when = "2026-03-04T05:06:07+00:00"
    kinds: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"event": "sent", "smtp_reply": "250 OK"}, "delivered", None, "250 OK", None),
        ({"event": "open", "agent": "Mail"}, "opened", None, None, None),
        ({"event": "click", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        (
            {"event": "bounce", "blocked": False, "hard_bounce": True, "error": "user unknown"},
            "bounced",
            "hard",
            "user unknown",
            None,
        ),
        (
            {"event": "bounce", "blocked": False, "hard_bounce": False, "error": "quota exceeded"},
            "bounced",
            "soft",
            "quota exceeded",
            None,
        ),
        (
            {"event": "bounce", "blocked": True, "hard_bounce": False, "error": "greylisted"},
            "deferred",
            None,
            "greylisted",
            None,
        ),
        (
            {"event": "blocked", "error_related_to": "recipient", "error": "user unknown"},
            "rejected",
            None,
            "user unknown",
            None,
        ),
        ({"event": "spam", "source": "JMRPP"}, "complained", None, "JMRPP", None),
        ({"event": "unsub", "mj_list_id": 3}, "unsubscribed", None, None, None),
        ({"event": "parsed"}, "unknown", None, None, None),
    ]
    every = [
        (event, severity, ANN, when, "19421777835146490", None, why, url) for _, event, severity, why, url in kinds
    ]
    yield "grouped", _json([base | kind for kind, *_ in kinds]), JSON, every
    yield "single", _json(base | kinds[0][0]), JSON, every[:1]


# https://developers.sparkpost.com/api/webhooks/#header-webhook-event-structures and
# https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
def sparkpost() -> Iterator[Case]:
    base = {
        "rcpt_to": ANN,
        "raw_rcpt_to": "Ann@buyer.example",
        "timestamp": "1772600767",
        "event_id": "92356927693813856",
        "transmission_id": "65832150921904138",
        "message_id": "000443ee14578172be22",
        "raw_reason": "told",
    }
    kinds: list[tuple[str, dict[str, Any], str, str | None]] = [
        ("message_event", {"type": "injection"}, "queued", None),
        ("message_event", {"type": "delivery"}, "delivered", None),
        ("message_event", {"type": "delay", "bounce_class": "21"}, "deferred", None),
        ("message_event", {"type": "policy_rejection"}, "rejected", None),
        ("message_event", {"type": "spam_complaint", "fbtype": "abuse"}, "complained", None),
        ("message_event", {"type": "out_of_band", "bounce_class": "30"}, "bounced", "hard"),
        ("gen_event", {"type": "generation_failure"}, "failed", None),
        ("gen_event", {"type": "generation_rejection"}, "rejected", None),
        ("track_event", {"type": "open"}, "opened", None),
        ("track_event", {"type": "initial_open"}, "opened", None),
        ("track_event", {"type": "amp_open"}, "opened", None),
        ("track_event", {"type": "amp_initial_open"}, "opened", None),
        ("track_event", {"type": "click"}, "clicked", None),
        ("track_event", {"type": "amp_click"}, "clicked", None),
        ("unsubscribe_event", {"type": "list_unsubscribe"}, "unsubscribed", None),
        ("unsubscribe_event", {"type": "link_unsubscribe"}, "unsubscribed", None),
        ("ab_test_event", {"type": "ab_test_completed"}, "unknown", None),
    ]
    soft = ("1", "20", "21", "22", "23", "24", "25", "40", "50", "51", "52", "53", "54", "70")
    codes = dict.fromkeys(soft, ("bounced", "soft")) | {
        "10": ("bounced", "hard"),
        "30": ("bounced", "hard"),
        "60": ("autoresponded", None),
        "80": ("subscribed", None),
        "90": ("unsubscribed", None),
        "100": ("autoresponded", None),
    }
    kinds += [("message_event", {"type": "bounce", "bounce_class": code}, *meant) for code, meant in codes.items()]
    when = "2026-03-04T05:06:07+00:00"
    every = [
        (event, severity, "Ann@buyer.example", when, "65832150921904138", "92356927693813856", "told", None)
        for _, _, event, severity in kinds
    ]
    body = [{"msys": {kind: base | data}} for kind, data, *_ in kinds]
    yield "batch with a ping", _json([{"msys": {}}, *body]), JSON, every
    click = base | {
        "type": "click",
        "target_link_url": "https://x.example/",
        "timestamp": "2026-03-04T06:06:07.5+01:00",
    }
    when = "2026-03-04T05:06:07.500000+00:00"
    expected = [("clicked", None, "Ann@buyer.example", when, *every[0][4:7], "https://x.example/")]
    yield "ISO time", _json([{"msys": {"track_event": click}}]), JSON, expected


# https://resend.com/docs/webhooks/event-types
def resend() -> Iterator[Case]:
    data: dict[str, Any] = {
        "email_id": "re-1",
        "from": "s@x.example",
        "to": [ANN],
        "created_at": "2026-01-01T00:00:00Z",
    }
    when = "2026-03-04T05:06:07.123000+00:00"
    kinds: list[tuple[str, dict[str, Any], str, str | None, str | None, str | None]] = [
        ("email.sent", {}, "sent", None, None, None),
        ("email.scheduled", {}, "queued", None, None, None),
        ("email.delivered", {}, "delivered", None, None, None),
        ("email.delivery_delayed", {}, "deferred", None, None, None),
        ("email.complained", {}, "complained", None, None, None),
        (
            "email.bounced",
            {"bounce": {"type": "Permanent", "subType": "General", "message": "no"}},
            "bounced",
            "hard",
            "no",
            None,
        ),
        (
            "email.bounced",
            {"bounce": {"type": "Transient", "subType": "MailboxFull", "message": "full"}},
            "bounced",
            "soft",
            "full",
            None,
        ),
        ("email.opened", {}, "opened", None, None, None),
        (
            "email.clicked",
            {"click": {"link": "https://x.example/", "userAgent": "Mail"}},
            "clicked",
            None,
            None,
            "https://x.example/",
        ),
        ("email.failed", {"failed": {"reason": "quota"}}, "failed", None, "quota", None),
        ("email.suppressed", {"suppressed": {"message": "on the list"}}, "rejected", None, "on the list", None),
        ("email.received", {}, "unknown", None, None, None),
        ("domain.updated", {}, "unknown", None, None, None),
    ]
    for name, more, event, severity, why, url in kinds:
        body = {"type": name, "created_at": "2026-03-04T05:06:07.123Z", "data": data | more}
        yield name, _json(body), JSON, [(event, severity, ANN, when, "re-1", None, why, url)]
    body = {
        "type": "email.bounced",
        "created_at": "2026-03-04 05:06:07.123+00",
        "data": data | {"to": [ANN, f"B <{BOB}>"]},
    }
    expected = [("bounced", "hard", who, when, "re-1", None, None, None) for who in (ANN, BOB)]
    yield "two recipients", _json(body), JSON, expected
    contact = {"id": "c", "email": ANN, "unsubscribed": True}
    body = {"type": "contact.updated", "created_at": "2026-03-04T05:06:07.123Z", "data": contact}
    yield "contact", _json(body), JSON, [("unsubscribed", None, ANN, when, None, None, None, None)]


# https://mailchimp.com/developer/transactional/docs/webhooks/
def mandrill() -> Iterator[Case]:
    message = {"_id": "md-1", "email": ANN, "state": "sent", "diag": "smtp;550", "bounce_description": "bad_mailbox"}
    when = "2026-03-04T05:06:07+00:00"
    kinds: dict[str, tuple[str, str | None]] = {
        "send": ("sent", None),
        "delivered": ("delivered", None),
        "deferral": ("deferred", None),
        "hard_bounce": ("bounced", "hard"),
        "soft_bounce": ("bounced", "soft"),
        "open": ("opened", None),
        "click": ("clicked", None),
        "spam": ("complained", None),
        "unsub": ("unsubscribed", None),
        "reject": ("rejected", None),
        "inbound": ("unknown", None),
    }
    items: list[dict[str, Any]] = [{"event": name, "_id": "md-1", "ts": 1772600767, "msg": message} for name in kinds]
    every: list[tuple[Any, ...]] = [
        (event, severity, ANN, when, "md-1", None, "smtp;550", None) for event, severity in kinds.values()
    ]
    for kind in ("blacklist", "whitelist"):
        listed = {"email": BOB, "reason": "hard-bounce", "detail": "told"}
        items.append({"type": kind, "action": "add", "reject": listed, "ts": 1772600767})
        every.append(("unknown", None, BOB, when, None, None, "told", None))
    yield "form", urlencode({"mandrill_events": json.dumps(items)}).encode(), FORM, every
    yield "form, no type", urlencode({"mandrill_events": json.dumps(items)}).encode(), None, every
    click = {"event": "click", "_id": "md-1", "ts": 1772600767, "url": "https://x.example/", "msg": message}
    expected = [("clicked", None, ANN, when, "md-1", None, "smtp;550", "https://x.example/")]
    yield "JSON", _json([click]), JSON, expected


# https://developers.mailersend.com/api/v1/account/webhooks#payload-example and, for the two names of the recipient,
# https://www.mailersend.com/whats-new/webhooks-v2; version 1: https://developers.mailersend.com/api/v1/webhooks.html
def mailersend() -> Iterator[Case]:
    yield from _mailersend_2()
    when = "2026-03-04T05:06:07.506000+00:00"
    kinds: list[tuple[str, dict[str, Any] | None, str, str | None, str | None, str | None]] = [
        ("sent", None, "sent", None, None, None),
        ("delivered", None, "delivered", None, None, None),
        ("deferred", None, "deferred", None, None, None),
        ("soft_bounced", {"object": "recipient_bounce", "reason": "full"}, "bounced", "soft", "full", None),
        ("hard_bounced", {"object": "recipient_bounce", "reason": "no host"}, "bounced", "hard", "no host", None),
        ("opened", {"object": "open", "ip": "192.0.2.1"}, "opened", None, None, None),
        ("opened_unique", {"object": "open", "ip": "192.0.2.1"}, "opened", None, None, None),
        ("clicked", {"object": "click", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        (
            "clicked_unique",
            {"object": "click", "url": "https://x.example/"},
            "clicked",
            None,
            None,
            "https://x.example/",
        ),
        (
            "unsubscribed",
            {"object": "recipient_unsubscribe", "reason": "option_3", "readable_reason": "too many"},
            "unsubscribed",
            None,
            "too many",
            None,
        ),
        ("spam_complaint", {"object": "spam_complaint", "reason": None}, "complained", None, None, None),
        ("survey_opened", None, "unknown", None, None, None),
        ("survey_submitted", None, "unknown", None, None, None),
    ]
    for name, morph, event, severity, why, url in kinds:
        data = {
            "object": "activity",
            "id": "ms-e",
            "type": name,
            "created_at": "2026-03-04T05:06:07.506000Z",
            "email": {"id": "ms-m", "message": {"id": "ms-1"}, "recipient": {"email": ANN}},
            "morph": morph,
        }
        body = {"type": f"activity.{name}", "created_at": "2026-03-04T05:06:07.520507Z", "data": data}
        yield name, _json(body), JSON, [(event, severity, ANN, when, "ms-1", "ms-e", why, url)]
    other = {"type": "sender_identity.verified", "created_at": "2026-03-04T05:06:07.506000Z", "data": {"id": "x"}}
    yield "other", _json(other), JSON, [("unknown", None, None, when, None, "x", None, None)]


def _mailersend_2() -> Iterator[Case]:
    when, link = "2026-03-04T05:06:07.520507+00:00", "https://x.example/"
    kinds: list[tuple[str, Any, str, str | None, str | None, str | None]] = [
        ("sent", [], "sent", None, None, None),
        ("delivered", [], "delivered", None, None, None),
        ("deferred", [], "deferred", None, None, None),
        ("soft_bounced", {"bounce_reason": "full", "bounce_code": 452}, "bounced", "soft", "full", None),
        ("hard_bounced", {"bounce_reason": "no user", "bounce_code": 550}, "bounced", "hard", "no user", None),
        ("opened", {"ip": "192.0.2.1", "user_agent": "Mail"}, "opened", None, None, None),
        ("opened_unique", {"ip": "192.0.2.1"}, "opened", None, None, None),
        ("clicked", {"url": link, "ip": "192.0.2.1"}, "clicked", None, None, link),
        ("clicked_unique", {"url": link}, "clicked", None, None, link),
        ("unsubscribed", {"unsubscribe_reason": "too many"}, "unsubscribed", None, "too many", None),
        ("spam_complaint", [], "complained", None, None, None),
        ("spam_complaints", [], "complained", None, None, None),
        ("suppressed", {"suppression_reason": "hard bounced"}, "rejected", None, "hard bounced", None),
        ("survey_submitted", {"surveys": []}, "unknown", None, None, None),
    ]
    for number, (name, meta, event, severity, why, url) in enumerate(kinds):
        data = {
            "object": "activity",
            "id": "ms-e2",
            "type": name,
            "message_id": "ms-2",
            ("recipient", "email")[number % 2]: ANN,
            "subject": "Hi",
            "tags": ["one"],
            "meta": meta,
        }
        body = {"type": f"activity.{name}", "created_at": "2026-03-04T05:06:07.520507Z", "data": data}
        yield f"2 {name}", _json(body), JSON, [(event, severity, ANN, when, "ms-2", "ms-e2", why, url)]
    ping = {"type": "webhook.test", "created_at": "2026-03-04T05:06:07.520507Z", "data": {}}
    yield "ping", _json(ping), JSON, []


# https://docs.mailtrap.io/email-api-smtp/advanced/webhooks
def mailtrap() -> Iterator[Case]:
    base = {"email": ANN, "timestamp": 1772600767, "message_id": "mt-1", "event_id": "mt-e", "sending_stream": "bulk"}
    when = "2026-03-04T05:06:07+00:00"
    kinds: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"event": "delivery"}, "delivered", None, None, None),
        ({"event": "open", "ip": "192.0.2.1", "user_agent": "Mail"}, "opened", None, None, None),
        ({"event": "click", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        (
            {"event": "bounce", "response": "550 no", "response_code": 550, "bounce_category": "badmailbox"},
            "bounced",
            "hard",
            "550 no",
            None,
        ),
        ({"event": "soft bounce", "response": "452 full", "response_code": 452}, "deferred", None, "452 full", None),
        ({"event": "suspension", "reason": "other"}, "deferred", None, "other", None),
        ({"event": "spam"}, "complained", None, None, None),
        ({"event": "unsubscribe"}, "unsubscribed", None, None, None),
        ({"event": "reject", "reason": "unknown"}, "rejected", None, "unknown", None),
        ({"event": "login"}, "unknown", None, None, None),
    ]
    items = [base | kind for kind, *_ in kinds]
    every = [(event, severity, ANN, when, "mt-1", "mt-e", why, url) for _, event, severity, why, url in kinds]
    yield "JSON", _json({"events": items}), JSON, every
    yield "JSON Lines", b"\n".join(map(_json, items)), "application/jsonl", every


# https://docs.postalserver.io/developer/webhooks
def postal() -> Iterator[Case]:
    message = {"id": 2**53 + 1, "token": "t", "direction": "outgoing", "message_id": "m@x.example", "to": ANN}
    when = "2026-03-04T05:06:07.961181+00:00"
    base = {"timestamp": 1772600767.961181, "uuid": "po-1"}
    said = {"message": message, "details": "told", "output": "", "timestamp": 1772600767.9110143}
    incoming = message | {"direction": "incoming"}
    kinds: list[tuple[str, dict[str, Any], str, str | None, str | None, str | None]] = [
        ("MessageSent", said | {"status": "Sent", "output": "250 OK\n"}, "delivered", None, "250 OK", None),
        ("MessageDelayed", said | {"status": "SoftFail"}, "deferred", None, "told", None),
        ("MessageDeliveryFailed", said | {"status": "HardFail"}, "failed", "hard", "told", None),
        ("MessageHeld", said | {"status": "Held"}, "queued", None, "told", None),
        ("MessageBounced", {"original_message": message, "bounce": incoming}, "bounced", "hard", None, None),
        (
            "MessageLinkClicked",
            {"message": message, "url": "https://x.example/", "ip_address": "192.0.2.1"},
            "clicked",
            None,
            None,
            "https://x.example/",
        ),
        ("MessageLoaded", {"message": message, "ip_address": "192.0.2.1"}, "opened", None, None, None),
    ]
    for name, payload, event, severity, why, url in kinds:
        body = base | {"event": name, "payload": payload}
        yield name, _json(body), JSON, [(event, severity, ANN, when, "9007199254740993", "po-1", why, url)]
    for name in ("DomainDNSError", "SendLimitApproaching", "SendLimitExceeded"):
        body = base | {"event": name, "payload": {"domain": "x.example"}}
        yield name, _json(body), JSON, [("unknown", None, None, when, None, "po-1", None, None)]
    yield "incoming", _json(base | {"event": "MessageSent", "payload": said | {"message": incoming}}), JSON, []


# https://godocs.unisender.ru/web-api-ref#callback-format
def unisender_go() -> Iterator[Case]:
    base = {"job_id": "1a3Q2V-0000OZ-S0", "email": ANN, "event_time": "2026-03-04 05:06:07"}
    when = "2026-03-04T05:06:07+00:00"
    info = {"delivery_status": "err_user_unknown", "destination_response": "550 unknown"}
    kinds: list[tuple[dict[str, Any], str, str | None, str | None, str | None]] = [
        ({"status": "accepted"}, "queued", None, None, None),
        ({"status": "sent"}, "sent", None, None, None),
        ({"status": "delivered"}, "delivered", None, None, None),
        ({"status": "opened", "delivery_info": {"user_agent": "Mail", "ip": "192.0.2.1"}}, "opened", None, None, None),
        ({"status": "clicked", "url": "https://x.example/"}, "clicked", None, None, "https://x.example/"),
        ({"status": "unsubscribed", "comment": "enough"}, "unsubscribed", None, "enough", None),
        ({"status": "subscribed"}, "subscribed", None, None, None),
        (
            {"status": "spam", "delivery_info": {"delivery_status": "err_spam_rejected"}},
            "complained",
            None,
            "err_spam_rejected",
            None,
        ),
        ({"status": "soft_bounced", "delivery_info": info}, "deferred", None, "550 unknown", None),
        ({"status": "hard_bounced", "delivery_info": info}, "bounced", "hard", "550 unknown", None),
    ]
    named = {"event_name": "transactional_email_status"}
    events = [named | {"event_data": base | kind} for kind, *_ in kinds]
    every: list[tuple[Any, ...]] = [
        (event, severity, ANN, when, "1a3Q2V-0000OZ-S0", None, why, url) for _, event, severity, why, url in kinds
    ]
    blocked = {"block_time": "2026-03-04 05:06:07", "block_type": "one_smtp", "domain": "x.example"}
    events.append({"event_name": "transactional_spam_block", "event_data": blocked})
    every.append(("unknown", None, None, when, None, None, None, None))
    body = {"auth": "0" * 32, "events_by_user": [{"user_id": 1, "events": events}]}
    yield "by user", _json(body), JSON, every
    yield "single event", _json(named | {"auth": "0" * 32, "user_id": 1} | base | kinds[1][0]), JSON, every[1:2]


PROVIDERS = (
    amazon_ses,
    brevo,
    mailersend,
    mailgun,
    mailjet,
    mailtrap,
    mandrill,
    postal,
    postmark,
    resend,
    sendgrid,
    sparkpost,
    unisender_go,
)
CASES = [(maker.__name__, *case) for maker in PROVIDERS for case in maker()]
