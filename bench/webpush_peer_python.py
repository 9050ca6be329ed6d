"""Sends messages with pywebpush, as bench/webpush asks: send SUBSCRIPTIONS KEYS SUBJECT MESSAGE; prints the seconds it
took. The certificate is trusted by REQUESTS_CA_BUNDLE. Or makes a pair of keys as `web-push generate-vapid-keys --json`
prints it: keys FILE."""
import base64
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pywebpush import webpush

THREADS = 16


def keys(file):
    pair = ec.generate_private_key(ec.SECP256R1())
    secret = pair.private_numbers().private_value.to_bytes(32, "big")
    public = pair.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with open(file, "w") as out:
        json.dump({"publicKey": base64url(public), "privateKey": base64url(secret)}, out)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def send(file, keys_file, subject, message):
    with open(file) as subscriptions, open(keys_file) as keys_of_app:
        subscriptions, secret = json.load(subscriptions), json.load(keys_of_app)["privateKey"]
    own = threading.local()

    def one(subscription):
        if not hasattr(own, "session"):
            own.session = requests.Session()
        webpush(subscription, message, vapid_private_key=secret, vapid_claims={"sub": subject}, ttl=3600,
                headers={"topic": "1", "urgency": "high"}, requests_session=own.session)

    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(one, subscriptions):
            pass
    print(time.monotonic() - begun)


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    {"keys": keys, "send": send}[kind](*given)
