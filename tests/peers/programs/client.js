// npm's gearman as a client through the whole list of checks: node client.js HOST PORT; prints one JSON object.
'use strict'
const gearman = require('gearman')
const [host, port] = process.argv.slice(2)
const out = { sizes: {} }

// Its events carry no way to tell jobs apart but the handle: so one connection, one job at a time.
function run (submit, ...ends) {
  return new Promise((resolve, reject) => {
    const client = gearman(host, Number(port), {})
    const seen = { data: [], warnings: [], status: [] }
    const finish = (what, value) => { client.close(); resolve({ what, value, seen }) }
    client.on('error', reject)
    client.on('WORK_DATA', (job) => seen.data.push(Buffer.from(job.payload).toString('hex')))
    client.on('WORK_WARNING', (job) => seen.warnings.push(Buffer.from(job.warning).toString('hex')))
    client.on('WORK_STATUS', (job) => seen.status.push([Number(job.percent_num), Number(job.percent_den)]))
    let created
    client.on('JOB_CREATED', (handle) => { created = handle; ends.includes('STATUS_RES') && client.getJobStatus(handle) })
    client.on('STATUS_RES', (status) => {
      if (ends.includes('running') && !(status.running === '1' && status.percent_done_num !== '0')) {
        setTimeout(() => client.getJobStatus(created), 10)
      } else finish('STATUS_RES', status)
    })
    client.on('WORK_COMPLETE', (job) => finish('WORK_COMPLETE', job.payload))
    client.on('WORK_FAIL', () => finish('WORK_FAIL', null))
    client.on('WORK_EXCEPTION', (job) => finish('WORK_EXCEPTION', job.exception))
    client.connect(() => submit(client))
  })
}

const hex = (answer) => Buffer.from(answer.value).toString('hex')

async function main () {
  const binary = Buffer.from([0x61, 0, 0x62, 0xff])
  out.reverse = hex(await run((client) => client.submitJob('reverse', binary)))
  for (const size of [0, 1, 65520, 65536, 65552, 16777216]) {
    // Every byte, NUL too; and not a multiple of anything the wire knows.
    const data = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, byte) => byte)))
    const answer = await run((client) => client.submitJob('echo', data))
    out.sizes[size] = data.equals(Buffer.from(answer.value))
  }
  out.high = hex(await run((client) => client.submitJob('reverse', 'hi', { priority: 'high' })))
  out.low = hex(await run((client) => client.submitJob('reverse', 'lo', { priority: 'low' })))
  out.unique = hex(await run((client) => client.submitJob('reverse', 'un', { unique_id: 'npm-unique' })))
  const status = await run((client) => client.submitJob('nobody', 'x', { background: true }), 'STATUS_RES')
  out.background = { known: status.value.known === '1', running: status.value.running === '1' }
  // A job that runs: it has reported 1 of 2, and ends when it is told to.
  const held = await run((client) => client.submitJob('hold', 'npm', { background: true }), 'STATUS_RES', 'running')
  // It reads the last field as a number of one byte: the digit's code.
  const total = Number(String.fromCharCode(held.value.percent_done_den))
  out.running = [...['known', 'running', 'percent_done_num'].map((name) => Number(held.value[name])), total]
  await run((client) => client.submitJob('release', 'npm'))
  const stream = await run((client) => client.submitJob('stream', 'x'))
  out.stream = { ...stream.seen, result: hex(stream) }
  out.fail = (await run((client) => client.submitJob('fail', 'x'))).what === 'WORK_FAIL'
  const exploded = await run((client) => { client.setOption('exceptions'); client.submitJob('explode', 'x') })
  out.exception = exploded.what === 'WORK_EXCEPTION' ? hex(exploded) : null
  console.log(JSON.stringify(out))
}

main().catch((error) => { console.error(error); process.exit(1) })
