"""A customer's work through the generated client: upload an audience, push to it, read the statistics."""

import base64
import io
import json
import sys
import time

from loft_client import AuthenticatedClient
from loft_client.api.v1_pushes import get_push
from loft_client.api.v3_push import push, upload_package
from loft_client.api.v3_statistics import get_push_statistics
from loft_client.models import (
    Message,
    OnePush,
    PushRequest,
    PushRequestAudienceType,
    PushRequestMessageType,
    PushState,
    UploadForm,
)
from loft_client.types import File

PATIENCE_S = 30

url, access_id, secret_key = sys.argv[1:]
credentials = base64.b64encode(f"{access_id}:{secret_key}".encode()).decode()
client = AuthenticatedClient(url, token=credentials, prefix="Basic", raise_on_unexpected_status=True)

audience = File(io.BytesIO(b"ann\nbob\n"), "audience.txt", "text/plain")
uploaded = upload_package.sync(client=client, body=UploadForm(file=audience))
assert uploaded.ret_code == 0, uploaded

pushed = push.sync(
    client=client,
    body=PushRequest(
        audience_type=PushRequestAudienceType.PACKAGE_ACCOUNT_PUSH,
        upload_id=uploaded.upload_id,
        message_type=PushRequestMessageType.NOTIFY,
        message=Message(title="Hello", content="from a generated client"),
    ),
)
assert pushed.ret_code == 0, pushed

deadline = time.monotonic() + PATIENCE_S
while (now := get_push.sync(pushed.push_id, client=client)).state != "PUSH_FINISHED" or now.outcomes.arrived < 2:
    assert time.monotonic() < deadline, now
    time.sleep(0.05)

statistics = get_push_statistics.sync(client=client, body=OnePush(push_id=pushed.push_id))
assert statistics.ret_code == 0, statistics
arrived = {of.channel: of.push_state.arrival_uv for of in statistics.push_stat_data_all}
print(json.dumps({"push_id": pushed.push_id, "arrived": arrived["all"]}))
