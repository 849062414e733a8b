// SPDX-License-Identifier: MIT
import assert from 'node:assert';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

const get = (url) => new Promise((resolve, reject) => {
  http.get(url, (response) => response.setEncoding('utf8').on('data', resolve)).on('error', reject);
});

// A server on port 8080 that answers with its name. It stays up until the other file's is up too: to show that both are
// there at the same time, and no part of what you would copy.
export const testServer = (name, other) => test(`${name} has port 8080`, { timeout: 10_000 }, async (t) => {
  const server = http.createServer((_, response) => response.end(name)).listen(8080);
  t.after(() => server.close());
  await once(server, 'listening');
  writeFileSync(`${name}.up`, '');
  while (!existsSync(`${other}.up`)) await delay(50, undefined, { signal: t.signal });
  assert.strictEqual(await get('http://localhost:8080/'), name);
});
