<?php
// PHP's GearmanClient through the whole list of checks: client.php HOST PORT; prints one JSON object, bytes as hex.
[, $host, $port] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int)$port);
$out = ['reverse' => bin2hex($client->doNormal('reverse', "a\0b\xff"))];
foreach ([0, 1, 65520, 65536, 65552, 16777216] as $size) {
    // Every byte, NUL too; and not a multiple of anything the wire knows.
    $data = substr(str_repeat(pack('C*', ...range(0, 250)), 1 + intdiv($size, 251)), 0, $size);
    $out['sizes'][(string)$size] = $client->doNormal('echo', $data) === $data;
}
$out['high'] = bin2hex($client->doHigh('reverse', 'hi'));
$out['low'] = bin2hex($client->doLow('reverse', 'lo'));
$out['unique'] = bin2hex($client->doNormal('reverse', 'un', 'php-unique'));
$handle = $client->doBackground('nobody', 'x', 'php-background');
[$known, $running] = $client->jobStatus($handle);
$out['background'] = ['known' => $known, 'running' => $running];

// A job that runs: it has reported 1 of 2, and ends when it is told to.
$handle = $client->doBackground('hold', 'php', 'php-hold');
for ($tries = 0; $tries < 1000; $tries++) {
    [$known, $running, $numerator, $denominator] = $client->jobStatus($handle);
    if ($running && $denominator) {
        break;
    }
    usleep(10000);
}
$out['running'] = [(int)$known, (int)$running, $numerator, $denominator];
$client->doNormal('release', 'php');

// doNormal gives only the end of a streamed result: the parts come to tasks.
$out['stream'] = ['data' => [], 'warnings' => [], 'status' => [], 'result' => null];
$streaming = new GearmanClient();
$streaming->addServer($host, (int)$port);
$streaming->setDataCallback(function ($task) use (&$out) { $out['stream']['data'][] = bin2hex($task->data()); });
$streaming->setWarningCallback(function ($task) use (&$out) { $out['stream']['warnings'][] = bin2hex($task->data()); });
$streaming->setStatusCallback(function ($task) use (&$out) {
    $out['stream']['status'][] = [$task->taskNumerator(), $task->taskDenominator()];
});
$streaming->setCompleteCallback(function ($task) use (&$out) { $out['stream']['result'] = bin2hex($task->data()); });
$streaming->addTask('stream', 'x');
$streaming->runTasks();

@$client->doNormal('fail', 'x');
$out['fail'] = $client->returnCode() == GEARMAN_WORK_FAIL;

$asking = new GearmanClient();
$asking->addServer($host, (int)$port);
$asking->enableExceptionHandler();
$out['exception'] = null;
$asking->setExceptionCallback(function ($task) use (&$out) {
    $out['exception'] = bin2hex($task->data());
    return GEARMAN_SUCCESS;
});
$asking->addTask('explode', 'x');
$asking->runTasks();
print json_encode($out) . "\n";
