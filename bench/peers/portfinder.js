// SPDX-License-Identifier: MIT
const [port, stopPort] = process.argv.slice(2).map(Number)
const portfinder = require('portfinder')
require('./loop.js').answer(() => portfinder.getPortPromise({ port, stopPort, host: '127.0.0.1' }))
