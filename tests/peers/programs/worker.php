<?php
// PHP's GearmanWorker: worker.php HOST PORT; serves until it is killed.
[, $host, $port] = $argv;
$worker = new GearmanWorker();
$worker->addServer($host, (int)$port);
$worker->addFunction('reverse', fn($job) => strrev($job->workload()));
$worker->addFunction('echo', fn($job) => $job->workload());
$worker->addFunction('fail', function ($job) { $job->sendFail(); });
$worker->addFunction('explode', function ($job) { $job->sendException('because'); });
$worker->addFunction('slow', function ($job) { $job->sendStatus(1, 2); sleep(2); return 'slept'; });
$worker->addFunction('stream', function ($job) {
    $job->sendData('one');
    $job->sendStatus(1, 2);
    $job->sendWarning('careful');
    $job->sendData('two');
    return 'end';
});
while (true) {
    @$worker->work();
}
