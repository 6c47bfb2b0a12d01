"""Web push as its RFCs write it, by their own examples; and who is called at all."""

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from backend.channels.outbound import Allowed
from backend.channels.web_push import CURVE, ORDER, authorization, encrypt, public_key, push_key, readable, refused
from tests.core_fixtures import START

# RFC 8291, 5 and appendix A
NOTE = b"When I grow up, I want to be a watermelon"
OURS = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
THEIRS = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
SEALED = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

# RFC 8292, 2.4
CLAIMED = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1h"
    "aWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
CLAIMING = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(token: str, key: str) -> dict[str, object]:
    """What a push service reads of a token; InvalidSignature where it is not by this key."""
    signed, _, signature = token.rpartition(".")
    r, s = (int.from_bytes(half) for half in (raw(signature)[:32], raw(signature)[32:]))
    public = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, raw(key))
    public.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    told: dict[str, object] = json.loads(raw(signed.partition(".")[2]))
    return told


def test_the_example_of_the_standard_comes_out_byte_for_byte() -> None:
    """RFC 8291, 5"""
    private = ec.derive_private_key(int.from_bytes(raw(OURS)), CURVE)
    assert encrypt(NOTE, raw(THEIRS), raw(AUTH), private, raw(SALT)) == raw(SEALED)
    fresh = encrypt(NOTE, raw(THEIRS), raw(AUTH))
    assert len(fresh) == len(raw(SEALED))
    assert fresh != encrypt(NOTE, raw(THEIRS), raw(AUTH)), "each note has a key and a salt of its own"


def test_the_proof_of_who_sends_is_one_that_a_push_service_takes() -> None:
    """RFC 8292, 2.4: what reads ours reads the example of the standard too."""
    assert claims(CLAIMED, CLAIMING)["sub"] == "mailto:push@example.com"
    key = push_key("a secret key of ours")
    told = authorization("https://fcm.googleapis.com/fcm/send/x?y", key, "mailto:a@b.example", START)
    scheme, token, k = told.replace(",", "").split()
    assert (scheme, k) == ("vapid", f"k={public_key(key)}")
    assert claims(token.removeprefix("t="), public_key(key)) == {
        "aud": "https://fcm.googleapis.com",
        "exp": int(START.timestamp()) + 12 * 3600,
        "sub": "mailto:a@b.example",
    }
    with pytest.raises(InvalidSignature):
        claims(token.removeprefix("t="), public_key(push_key("another one")))


def test_the_key_follows_from_the_secret_key() -> None:
    assert public_key(push_key("abc")) == public_key(push_key("abc"))
    assert public_key(push_key("abc")) != public_key(push_key("abd"))
    assert len(raw(public_key(push_key("abc")))) == 65
    assert ec.derive_private_key(ORDER - 1, CURVE)
    with pytest.raises(ValueError, match=r"."):
        ec.derive_private_key(ORDER, CURVE)


@pytest.mark.parametrize(
    ("endpoint", "allowed", "taken"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", "", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/abc", "", True),
        ("https://web.push.apple.com/abc", "", True),
        ("https://db5p.notify.windows.com/w/?token=x", "", True),
        ("http://fcm.googleapis.com/x", "", False),
        ("https://fcm.googleapis.com:8443/x", "", False),
        ("https://evilfcm.googleapis.com.attacker.example/x", "", False),
        ("https://notfcm.googleapis.com/x", "", False),
        ("https://evil-push.apple.com/x", "", False),
        ("https://shop.example/x", "", False),
        ("https://shop.example/x", "shop.example", True),
        ("https://169.254.169.254/latest", "", False),
        ("https://fcm.googleapis.com@127.0.0.1/x", "", False),
        ("https://[::1]/x", "", False),
        ("http://127.0.0.1:8000/x", "127.0.0.1", True),
        ("javascript:alert(1)", "", False),
        ("", "", False),
    ],
)
def test_nobody_but_browsers_push_services_is_called(endpoint: str, allowed: str, taken: bool) -> None:
    assert (refused(endpoint, Allowed.of(allowed)) is None) is taken


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [("", AUTH), (THEIRS, ""), (THEIRS, AUTH[:-2]), (THEIRS[:-4], AUTH), ("B" * 87, AUTH), (THEIRS, "ü" * 22)],
)
def test_keys_that_are_none_are_refused(p256dh: str, auth: str) -> None:
    assert readable(THEIRS, AUTH)
    assert not readable(p256dh, auth)
