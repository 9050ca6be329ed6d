"""Sends messages with aioapns, as bench/apns asks: send PORT MESSAGES KEY KEY-ID TEAM-ID TOPIC CERTIFICATE PAYLOAD; prints
the seconds it took. Or signs as it does: token KEY KEY-ID TEAM-ID; prints the header `authorization`."""
import asyncio
import json
import ssl
import sys
import time

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol, JWTAuthorizationHeaderProvider

AT_ONCE = 1_000


async def send(port, messages, key, key_id, team_id, topic, certificate, payload):
    APNsProductionClientProtocol.APNS_SERVER = "localhost"
    APNsProductionClientProtocol.APNS_PORT = int(port)
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2"])
    with open(key) as file:
        key = file.read()
    client = APNs(key=key, key_id=key_id, team_id=team_id, topic=topic, ssl_context=context)
    message, numbers = json.loads(payload), iter(range(int(messages)))

    async def work():
        for n in numbers:
            answer = await client.send_notification(NotificationRequest(
                device_token=f"{n:064x}", message=message, time_to_live=3600, priority=10, collapse_key="1",
                push_type=PushType.ALERT))
            if not answer.is_successful:
                sys.exit(f"{answer.status}: {answer.description}")

    begun = time.monotonic()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    print(time.monotonic() - begun)


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    if kind == "token":
        file, *ids = given
        with open(file) as key:
            print(JWTAuthorizationHeaderProvider(key.read(), *ids).get_header())
    else:
        asyncio.run(send(*given))
