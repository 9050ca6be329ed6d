// A customer's work through the generated client: upload an audience, push to it, read the statistics.

import createClient from "openapi-fetch";
import type { paths } from "./loft.js";

declare const process: { argv: string[] };

const PATIENCE_MS = 30_000;

const [url, accessId, secretKey] = process.argv.slice(2);
const client = createClient<paths>({
  baseUrl: url,
  headers: { Authorization: `Basic ${btoa(`${accessId}:${secretKey}`)}` },
});

/** What a call answered, whose status has to be 200. */
function answered<T>(call: { data?: T; error?: unknown }): T {
  if (call.data === undefined) throw new Error(JSON.stringify(call.error));
  return call.data;
}

const uploaded = answered(
  await client.POST("/v3/push/package/upload", {
    body: { file: "ann\nbob\n" },
    bodySerializer: (body) => {
      const form = new FormData();
      form.append("file", new Blob([body.file]), "audience.txt");
      return form;
    },
  }),
);
if (uploaded.retCode !== 0) throw new Error(uploaded.errMsg);

const pushed = answered(
  await client.POST("/v3/push/app", {
    body: {
      audience_type: "package_account_push",
      upload_id: uploaded.uploadId,
      message_type: "notify",
      message: { title: "Hello", content: "from a generated client" },
    },
  }),
);
if (pushed.ret_code !== 0) throw new Error(pushed.err_msg);
const pushId = pushed.push_id;
if (typeof pushId !== "string") throw new Error("a push that is not repeated has one id");

const deadline = Date.now() + PATIENCE_MS;
for (;;) {
  const now = answered(await client.GET("/v1/pushes/{id}", { params: { path: { id: pushId } } }));
  if (now.state === "PUSH_FINISHED" && now.outcomes.arrived === 2) break;
  if (Date.now() > deadline) throw new Error(JSON.stringify(now));
  await new Promise((resolve) => setTimeout(resolve, 50));
}

const statistics = answered(
  await client.POST("/v3/statistics/get_push_task_stat_channel", { body: { pushId } }),
);
const all = statistics.pushStatDataAll?.find((of) => of.channel === "all");
console.log(JSON.stringify({ push_id: pushId, arrived: all?.pushState.arrivalUv }));
