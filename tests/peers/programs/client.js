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
    client.on('JOB_CREATED', (handle) => ends.includes('JOB_CREATED') && client.getJobStatus(handle))
    client.on('STATUS_RES', (status) => finish('STATUS_RES', status))
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
    const data = Buffer.alloc(size, 'x')
    const answer = await run((client) => client.submitJob('echo', data))
    out.sizes[size] = data.equals(Buffer.from(answer.value))
  }
  out.high = hex(await run((client) => client.submitJob('reverse', 'hi', { priority: 'high' })))
  out.low = hex(await run((client) => client.submitJob('reverse', 'lo', { priority: 'low' })))
  out.unique = hex(await run((client) => client.submitJob('reverse', 'un', { unique_id: 'npm-unique' })))
  const status = await run((client) => client.submitJob('nobody', 'x', { background: true }), 'JOB_CREATED')
  out.background = { known: status.value.known === '1', running: status.value.running === '1' }
  const stream = await run((client) => client.submitJob('stream', 'x'))
  out.stream = { ...stream.seen, result: hex(stream) }
  out.fail = (await run((client) => client.submitJob('fail', 'x'))).what === 'WORK_FAIL'
  const exploded = await run((client) => { client.setOption('exceptions'); client.submitJob('explode', 'x') })
  out.exception = exploded.what === 'WORK_EXCEPTION' ? hex(exploded) : null
  console.log(JSON.stringify(out))
}

main().catch((error) => { console.error(error); process.exit(1) })
