// Sends messages with web-push, as bench/webpush asks: MODULES SUBSCRIPTIONS KEYS SUBJECT MESSAGE. The certificate is trusted by
// NODE_EXTRA_CA_CERTS. Prints the seconds it took.
const fs = require("fs");
const https = require("https");
const path = require("path");

const [modules, file, keysFile, subject, message] = process.argv.slice(2);
const webpush = require(path.join(modules, "web-push"));

// As many as ours has of a batch.
const AT_ONCE = 256;

async function main() {
  const subscriptions = JSON.parse(fs.readFileSync(file));
  const { publicKey, privateKey } = JSON.parse(fs.readFileSync(keysFile));
  const agent = new https.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const options = { vapidDetails: { subject, publicKey, privateKey }, TTL: 3600, topic: "1", urgency: "high", agent };
  const begun = process.hrtime.bigint();
  let next = 0;
  const work = async () => {
    while (next < subscriptions.length) {
      await webpush.sendNotification(subscriptions[next++], message, options);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  console.log(Number(process.hrtime.bigint() - begun) / 1e9);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
