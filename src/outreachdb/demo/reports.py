"""What a provider would report of messages that arrived: signed batches in SendGrid's Event Webhook format.

The shares are seeded: of the messages 97% are delivered and 3% bounce; of the delivered 42% are opened, some twice, and
a fifth of those clicked; a few complain or unsubscribe.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from outreachdb.demo.sink import Received
from outreachdb.errors import OutreachDBError


class Signer:
    """The provider's side of the signature: ECDSA over time stamp and body."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """The verification key as the provider's settings page shows it: DER in base64."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers of a request with this body, signed now."""
        stamp = str(int(time.time()))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        }


# Only these tell the Message-ID; opens, clicks and complaints come with the unique arguments alone.
DELIVERY_EVENTS = {"processed", "delivered", "deferred", "bounce", "dropped"}


def events(messages: Iterable[Received], *, seed: int = 20) -> Iterator[dict[str, Any]]:
    """The events of each message, in the provider's words."""
    draw = random.Random(seed)  # noqa: S311
    now = int(time.time())
    for message in messages:
        for kind, more in _fate(draw):
            yield {
                "email": message.recipient,
                "timestamp": now,
                **({"smtp-id": message.message_id} if kind in DELIVERY_EVENTS else {}),
                **message.arguments,
                "event": kind,
                "sg_event_id": hashlib.sha256(f"{message.message_id}{kind}{more}".encode()).hexdigest()[:32],
                **more,
            }


def _fate(draw: random.Random) -> list[tuple[str, dict[str, Any]]]:
    if draw.random() < 0.03:
        return [("bounce", {"type": "bounce", "reason": "550 5.1.1 no such user", "status": "5.1.1"})]
    happened: list[tuple[str, dict[str, Any]]] = [("delivered", {"response": "250 noted"})]
    if draw.random() < 0.42:
        happened.append(("open", {"useragent": "Mail/1.0", "ip": "192.0.2.7"}))
        if draw.random() < 0.3:
            happened.append(("open", {"useragent": "Mail/1.0", "ip": "192.0.2.8"}))
        if draw.random() < 0.2:
            happened.append(("click", {"url": "https://www.example.com/demo", "ip": "192.0.2.7"}))
        if draw.random() < 0.01:
            happened.append(("unsubscribe", {}))
    if draw.random() < 0.002:
        happened.append(("spamreport", {}))
    return happened


@dataclass(frozen=True, slots=True)
class Posted:
    """What the webhook answered, summed over all requests."""

    requests: int
    events: int
    stored: int
    duplicates: int


def post(port: int, path: str, signer: Signer, reported: Sequence[dict[str, Any]], *, batch: int = 500) -> Posted:
    """Post the events in signed batches over one connection; raises when a batch is not taken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    waiting = iter(reported)
    requests = stored = duplicates = 0
    while chunk := list(islice(waiting, batch)):
        body = json.dumps(chunk).encode()
        connection.request("POST", path, body, signer.headers(body))
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != http.client.OK:
            raise OutreachDBError(f"the webhook answered {answer.status}: {said[:200].decode(errors='replace')}")
        counts = json.loads(said)
        requests, stored, duplicates = requests + 1, stored + counts["stored"], duplicates + counts["duplicates"]
    connection.close()
    return Posted(requests, len(reported), stored, duplicates)
