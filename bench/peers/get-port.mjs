// SPDX-License-Identifier: MIT
// get-port is an ES module, and those are not looked for in NODE_PATH.
import { answer } from './loop.js'
const { default: getPort } = await import(`${process.env.FPBENCH_MODULES}/get-port/index.js`)
answer(() => getPort())
