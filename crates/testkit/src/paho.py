"""A device as an app would have it, with Python's paho: it stays, acknowledges, and prints each message's payload."""

import sys

import paho.mqtt.client as mqtt

port, version, transport, access_id, token, password, *certificate = sys.argv[1:]
protocol = {"311": mqtt.MQTTv311, "5": mqtt.MQTTv5}[version]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=token, protocol=protocol, transport=transport)
client.username_pw_set(access_id, password)
if certificate:
    client.tls_set(ca_certs=certificate[0])
client.reconnect_delay_set(min_delay=1, max_delay=1)


def on_connect(client, userdata, flags, reason, properties):
    print("connected:", reason)
    if reason == "Success":
        client.subscribe("push", qos=1)


client.on_connect = on_connect
client.on_subscribe = lambda client, userdata, mid, reasons, properties: print("subscribed")
client.on_message = lambda client, userdata, message: print(message.payload.decode())
client.on_disconnect = lambda client, userdata, flags, reason, properties: print("disconnected:", reason)
client.connect("localhost", int(port), keepalive=60)
client.loop_forever()
