"""Web push: a note that only one browser can read (RFC 8291), and the proof of who sends it (RFC 8292)."""

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.channels.outbound import Allowed, refusal
from backend.domain.web_address import WebAddress, parse_web_address

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

RECORD = 4096
VALID_FOR = timedelta(hours=12)

SERVICES = (
    *("fcm.googleapis.com", "push.services.mozilla.com", "push.apple.com", "notify.windows.com"),
    *("jmt17.google.com", "push.samsungosp.com"),
)
"""Hosts of browsers' push services, and what they end with: nobody else is called."""


def push_key(secret_key: str) -> ec.EllipticCurvePrivateKey:
    """The key by which push services know this installation: follows from its secret key, in every process alike."""
    made = hmac.digest(secret_key.encode(), b"chimein.push", hashlib.sha512)
    return ec.derive_private_key(int.from_bytes(made) % (ORDER - 1) + 1, CURVE)


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    """What a page passes to `pushManager.subscribe` as `applicationServerKey`."""
    return _text(_point(key))


def refused(endpoint: str, allowed: Allowed) -> str | None:
    """Why this is not the address of a push service that is called; None where it is."""
    try:
        place = parse_web_address(endpoint)
    except ValueError as error:
        return str(error)
    reason = refusal(place, allowed)
    if reason is None and not _known(place) and not _permitted(place, allowed):
        return "This is no browser's push service; CHIMEIN_ALLOW_PRIVATE can allow its host."
    return reason


def readable(p256dh: str, auth: str) -> bool:
    """Whether these are keys of a browser: a point of the curve, and 16 bytes."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVE, _bytes(p256dh))
        return len(_bytes(auth)) == 16
    except (ValueError, binascii.Error):
        return False


def request(
    endpoint: str, p256dh: str, auth: str, note: Mapping[str, Any], key: ec.EllipticCurvePrivateKey, **told: Any
) -> tuple[dict[str, str], bytes]:
    """Headers and body that bring a note to a browser; `told` are `subject`, `now`, `lasts`, `topic`.

    `subject` is a mailto: or https: address of ours, `lasts` how long the note is worth keeping, `topic` (32 characters
    at most) names what a later note takes the place of.
    """
    headers = {
        "Authorization": authorization(endpoint, key, told["subject"], told["now"]),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(max(0, int(told["lasts"].total_seconds()))),
        "Urgency": "high",
        "Topic": told["topic"],
    }
    return headers, encrypt(json.dumps(note, ensure_ascii=False).encode(), _bytes(p256dh), _bytes(auth))


def encrypt(
    note: bytes,
    p256dh: bytes,
    auth: bytes,
    private: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The note as one record of `aes128gcm`; `private` and `salt` are fresh ones unless told (by a test vector)."""
    private = private or ec.generate_private_key(CURVE)
    salt = salt or os.urandom(16)
    ours = _point(private)
    shared = private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, p256dh))
    secret = _derived(shared, auth, b"WebPush: info\0" + p256dh + ours, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(key).encrypt(nonce, note + b"\x02", None)
    return salt + RECORD.to_bytes(4) + len(ours).to_bytes(1) + ours + sealed


def authorization(endpoint: str, key: ec.EllipticCurvePrivateKey, subject: str, now: datetime) -> str:
    """The header that says who sends it, for this push service and some hours."""
    claims = {
        "aud": parse_web_address(endpoint).origin,
        "exp": int((now + VALID_FOR).timestamp()),
        "sub": subject,
    }
    signed = ".".join(_text(json.dumps(each).encode()) for each in ({"typ": "JWT", "alg": "ES256"}, claims))
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"vapid t={signed}.{_text(r.to_bytes(32) + s.to_bytes(32))}, k={public_key(key)}"


def _known(place: WebAddress) -> bool:
    return any(place.host == each or place.host.endswith(f".{each}") for each in SERVICES)


def _permitted(place: WebAddress, allowed: Allowed) -> bool:
    """Whether whoever runs this named the place, or a network that it may lie in."""
    return allowed.names(place) or bool(allowed.networks)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
