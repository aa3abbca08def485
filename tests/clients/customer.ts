// A customer's app on the client that openapi-typescript makes of docs/openapi.yaml: strict, and
// without a cast. Run by `make check-clients` as: node customer.js <address> <photo>
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

type Product = components["schemas"]["ProductOutput"];

const [, , address, photoPath] = process.argv;
assert(address && photoPath);
const client = createClient<paths>({ baseUrl: address, headers: { "Accept-Language": "en" } });

// --- Signing in
const refusedSignIn = await client.POST("/api/auth/login", {
  body: { phone: "12345", code: "123456" },
});
assert(refusedSignIn.error?.code === 1001);

const signedIn = await client.POST("/api/auth/login", {
  body: { phone: "13800138001", code: "123456", device_info: { platform: "node" } },
});
assert(signedIn.data, "signing in was refused");
const { access_token: token, user_info: me } = signedIn.data.data;
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
});
const startingPoints: number = me.total_points;

// --- The wheel
const config = await client.GET("/api/lottery/config");
assert(config.data);
const wheel = config.data.data;
assert(wheel.fairness !== null, "who is signed in has seeds");
const commitment: string = wheel.fairness.server_seed_hash;
assert(wheel.prizes.every((prize) => prize.prize_type !== "points" || Number(prize.prize_value) > 0));

const key = randomUUID();
const draw = () =>
  client.POST("/api/lottery/draw", {
    params: { header: { "Idempotency-Key": key } },
    body: { wheel_id: wheel.wheel_id, count: 2 },
  });
const drawn = await draw();
assert(drawn.data);
assert.equal(drawn.data.data.draws.length, 2);
const again = await draw();
assert.deepEqual(again.data, drawn.data);
assert.equal(again.response.headers.get("Idempotent-Replay"), "true");

const seeds = await client.POST("/api/lottery/seed", { body: { client_seed: randomUUID() } });
assert.equal(seeds.data?.data.revealed.server_seed_hash, commitment);
const first = drawn.data.data.draws[0];
assert(first);
const proof = await client.GET("/api/lottery/draws/{draw_id}/proof", {
  params: { path: { draw_id: first.draw_id } },
});
assert.equal(proof.data?.data.outcome, first.prize.prize_id);

// --- Lists, page by page
const products: Product[] = [];
let cursor: string | null = "";
while (cursor !== null) {
  const page: { items: Product[]; next: string | null } = await productsAfter(cursor);
  products.push(...page.items);
  cursor = page.next;
}
assert.equal(new Set(products.map((product) => product.commodity_id)).size, products.length);

async function productsAfter(cursor: string) {
  const { data, error } = await client.GET("/api/exchange/products", {
    params: { query: { sort: "points", page_size: 3, cursor } },
  });
  if (error) throw new Error(`${error.code} ${error.msg}`);
  return data.data;
}

// --- The mall
const cheapest = products[0];
const dearest = products.at(-1);
assert(cheapest && dearest);
const bought = await client.POST("/api/exchange/submit", {
  params: { header: { "Idempotency-Key": randomUUID() } },
  body: { product_id: cheapest.commodity_id },
});
assert(bought.data);
assert.equal(bought.data.data.order.status, "pending");

const refused = await client.POST("/api/exchange/submit", {
  body: { product_id: dearest.commodity_id },
});
assert(refused.error, "nobody has that many points yet");
switch (refused.error.code) {
  case 4005: {
    const { required, current, shortage } = refused.error.data;
    assert.equal(shortage, required - current);
    assert(current < startingPoints + 1000);
    break;
  }
  case 4004:
    assert.fail(`only ${refused.error.data.available_stock} left`);
  default:
    assert.fail(refused.error.msg);
}

const orders = await client.GET("/api/exchange/orders", {
  params: { query: { status: "pending" } },
});
assert(orders.data?.data.items.some((order) => order.exchange_id === bought.data.data.exchange_id));

// --- A receipt
const form = new FormData();
form.set("image", new Blob([await readFile(photoPath)], { type: "image/jpeg" }), "receipt.jpg");
form.set("amount", "128.50");
const uploaded = await client.POST("/api/photo/upload", {
  params: { header: { "Idempotency-Key": randomUUID() } },
  body: { image: "receipt.jpg", amount: "128.50" },
  bodySerializer: () => form,
});
assert(uploaded.data);
assert.equal(uploaded.data.data.review_status, "pending");
const receipt = await client.GET("/api/photo/uploads/{upload_id}", {
  params: { path: { upload_id: uploaded.data.data.upload_id } },
});
assert(receipt.data);
const progress: number = receipt.data.data.task.progress;
assert(progress >= 0);

// --- Reading a refusal by its status
const nobody = await client.GET("/api/exchange/orders/{exchange_id}", {
  params: { path: { exchange_id: 999_999 } },
});
assert.equal(nobody.response.status, 404);
assert.equal(nobody.error?.code, 4007);
assert.match(nobody.response.headers.get("X-Request-ID") ?? "", /^[\w.-]+$/);

console.log(`TypeScript: ${products.length} products, ${drawn.data.data.total_points} points.`);
