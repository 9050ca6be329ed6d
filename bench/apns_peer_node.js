// Sends messages with @parse/node-apn, as bench/apns asks: MODULES PORT MESSAGES KEY KEY-ID TEAM-ID TOPIC CERTIFICATE
// PAYLOAD.
// Prints the seconds it took.
const fs = require("fs");
const path = require("path");

const [modules, port, messages, key, keyId, teamId, topic, certificate, payload] = process.argv.slice(2);
const apn = require(path.join(modules, "@parse", "node-apn"));

// Given at once, a library's own queue would time out what waits longest.
const AT_ONCE = 4000;

function token(n) {
  return n.toString(16).padStart(64, "a");
}

async function main() {
  const provider = new apn.MultiProvider({
    clientCount: 4, token: { key, keyId, teamId }, address: "localhost", port: Number(port),
    ca: fs.readFileSync(certificate), requestTimeout: 60000,
  });
  const message = new apn.Notification({
    topic, pushType: "alert", priority: 10, expiry: 1900000000, collapseId: "1",
    id: "00000001-0000-8000-8000-000000000001", rawPayload: JSON.parse(payload),
  });
  const begun = process.hrtime.bigint();
  for (let first = 0; first < Number(messages); first += AT_ONCE) {
    const count = Math.min(AT_ONCE, Number(messages) - first);
    const { failed } = await provider.send(message, Array.from({ length: count }, (_, n) => token(first + n)));
    if (failed.length > 0) {
      throw new Error(JSON.stringify(failed[0]) + " " + failed[0].error);
    }
  }
  console.log(Number(process.hrtime.bigint() - begun) / 1e9);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
