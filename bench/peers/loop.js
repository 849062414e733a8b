// SPDX-License-Identifier: MIT
// As fpbench does: a number on standard input is that many calls, one after the other; the answer is nanoseconds a call.
exports.answer = async (call) => {
  console.log('ready')
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    const began = process.hrtime.bigint()
    for (let left = Number(line); left > 0; left--) await call()
    console.log(Number(process.hrtime.bigint() - began) / Number(line))
  }
}
