// npm's gearman as a worker: node worker.js HOST PORT; serves until it is killed.
'use strict'
const gearman = require('gearman')
const [host, port] = process.argv.slice(2)
const worker = gearman(host, Number(port), {})
const functions = {
  reverse: (job, payload) => worker.sendWorkComplete(job.handle, Buffer.from(payload).reverse()),
  echo: (job, payload) => worker.sendWorkComplete(job.handle, payload),
  fail: (job) => worker.sendWorkFail(job.handle),
  explode: (job) => worker.sendWorkException(job.handle, 'because'),
  slow: (job) => {
    worker.sendWorkStatus(job.handle, '1', '2')
    setTimeout(() => worker.sendWorkComplete(job.handle, 'slept'), 2000)
  },
  stream: (job) => {
    worker.sendWorkData(job.handle, 'one')
    worker.sendWorkStatus(job.handle, '1', '2')
    worker.sendWorkWarning(job.handle, 'careful')
    worker.sendWorkData(job.handle, 'two')
    worker.sendWorkComplete(job.handle, 'end')
  }
}
worker.on('JOB_ASSIGN', (job) => {
  functions[job.func_name](job, Buffer.from(job.payload))
  worker.grabJob()
})
worker.on('NOOP', () => worker.grabJob())
worker.on('NO_JOB', () => worker.preSleep())
worker.connect(() => {
  Object.keys(functions).forEach((name) => worker.addFunction(name))
  worker.preSleep()
})
