#!/usr/bin/perl
# Perl's Gearman::Worker: worker.pl HOST PORT; serves until it is killed.
use strict;
use warnings;
use Gearman::Worker;

my ($host, $port) = @ARGV;
my $worker = Gearman::Worker->new;
$worker->job_servers("$host:$port");
$worker->register_function(reverse => sub { return scalar reverse $_[0]->arg });
$worker->register_function(echo => sub { return $_[0]->arg });
$worker->register_function(fail => sub { return undef });
$worker->register_function(explode => sub { $worker->send_work_exception($_[0], 'because'); return });
$worker->register_function(slow => sub { $_[0]->set_status(1, 2); sleep 2; return 'slept' });
$worker->register_function(stream => sub {
    my ($job) = @_;
    $worker->send_work_data($job, 'one');
    $job->set_status(1, 2);
    $worker->send_work_warning($job, 'careful');
    $worker->send_work_data($job, 'two');
    return 'end';
});
# After a WORK_EXCEPTION it sends a WORK_FAIL too, and dies of the server's ERROR (gearmand's likewise): go on.
while (1) { eval { $worker->work } }
