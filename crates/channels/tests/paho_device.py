"""A device as an app would have it: it stays, acknowledges, reports each message, and survives being cut off."""

import json, sys
import paho.mqtt.client as mqtt

port, version, token, user, password = int(sys.argv[1]), sys.argv[2], *sys.argv[3:6]
protocol = mqtt.MQTTv5 if version == "mqttv5" else mqtt.MQTTv311
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=token, protocol=protocol)
client.username_pw_set(user, password)
client.will_set("gone", "never mind", qos=1)
client.reconnect_delay_set(min_delay=1, max_delay=1)

def say(*words):
    print(*words, flush=True)

def on_connect(client, userdata, flags, reason, properties):
    say("connected", str(reason).replace(" ", "-"), int(flags.session_present))
    client.subscribe([("push", 1), ("#", 0)])

def on_subscribe(client, userdata, mid, reasons, properties):
    say("subscribed", *[reason.value for reason in reasons])

def on_message(client, userdata, message):
    push = json.loads(message.payload)["push_id"]
    say("message", push, message.topic, message.qos, int(message.dup), int(message.retain))
    client.publish("receipt", json.dumps({"push_id": push, "event": "shown"}), qos=1)

def on_publish(client, userdata, mid, reason, properties):
    say("reported", str(reason).replace(" ", "-"))

def on_disconnect(client, userdata, flags, reason, properties):
    say("disconnected", str(reason).replace(" ", "-"))

client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.on_publish, client.on_disconnect = on_publish, on_disconnect
client.connect("127.0.0.1", port, keepalive=60)
client.loop_forever()
