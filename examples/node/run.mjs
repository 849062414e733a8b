// SPDX-License-Identifier: MIT
// Two test files with port 8080 written into them, at once:
//
//     $ node run.mjs
//     TAP version 13
//     ok 1 - ...
//     ok 2 - ...
//     # pass 2
//
// Node's test runner runs each file in a process of its own, and starts it as process.execPath. Here that is node under
// freeport (isolated-node), so that each file is a session of its own. With plain node (node run.mjs plain), one of the
// files fails: EADDRINUSE.
//
// One suite beside another copy of itself needs none of this: freeport run --session new --sentinels 8080 -- node --test
import { run } from 'node:test';
import { tap } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

if (process.argv[2] !== 'plain') process.execPath = path('isolated-node');

run({ files: [path('one.test.mjs'), path('two.test.mjs')], concurrency: 2 })
  .on('test:fail', () => { process.exitCode = 1; })
  .compose(tap)
  .pipe(process.stdout);
