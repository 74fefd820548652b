#!/usr/bin/perl
# Perl's Gearman::Client through the whole list of checks: client.pl HOST PORT; prints one JSON object, bytes as hex.
use strict;
use warnings;
use Gearman::Client;
use Gearman::Task;
use JSON::PP;

my ($host, $port) = @ARGV;
my $client = Gearman::Client->new(exceptions => 1);
$client->job_servers("$host:$port");
my %out;

sub hex_of { return defined $_[0] ? unpack('H*', $_[0]) : undef }

sub do_task {
    my ($function, $payload, %options) = @_;
    my $ref = $client->do_task($function, \$payload, {%options});
    return ref $ref ? $$ref : undef;
}

$out{reverse} = hex_of(do_task('reverse', "a\0b\xff"));
for my $size (0, 1, 65520, 65536, 65552, 16777216) {
    # Every byte including NUL, in a size that is no multiple of any size in the protocol.
    my $data = substr(pack('C*', 0 .. 250) x (1 + int($size / 251)), 0, $size);
    my $back = do_task('echo', $data);
    $out{sizes}{$size} = (defined $back && $back eq $data) ? JSON::PP::true : JSON::PP::false;
}
$out{high} = hex_of(do_task('reverse', 'hi', high_priority => 1));
$out{low} = hex_of(do_task('reverse', 'lo', priority => 'low'));
$out{unique} = hex_of(do_task('reverse', 'un', uniq => 'perl-unique'));

my $handle = $client->dispatch_background('nobody', \'x', {uniq => 'perl-background'});
my $status = $client->get_status($handle);
$out{background} = {known => $status->known ? JSON::PP::true : JSON::PP::false,
    running => $status->running ? JSON::PP::true : JSON::PP::false};

# A running job that has reported progress 1 of 2 and ends on request.
$handle = $client->dispatch_background('hold', \'perl', {uniq => 'perl-hold'});
for (1 .. 1000) {
    $status = $client->get_status($handle);
    last if $status->running && $status->percent;
    select undef, undef, undef, 0.01;
}
$out{running} = [$status->known + 0, $status->running + 0, map { $_ + 0 } @{$status->progress || []}];
do_task('release', 'perl');

my (@data, @warnings, @status, $result);
my $tasks = $client->new_task_set;
my $payload = 'x';
$tasks->add_task(Gearman::Task->new('stream', \$payload, {
    on_data => sub { push @data, hex_of(${$_[0]}) },
    on_warning => sub { push @warnings, hex_of(ref $_[0] ? ${$_[0]} : $_[0]) },
    on_status => sub { push @status, [$_[0] + 0, $_[1] + 0] },
    on_complete => sub { $result = hex_of(${$_[0]}) },
}));
$tasks->wait;
$out{stream} = {data => \@data, warnings => \@warnings, status => \@status, result => $result};

my $failed = JSON::PP::false;
$client->do_task('fail', \$payload, {on_fail => sub { $failed = JSON::PP::true }});
$out{fail} = $failed;

my $exception;
$tasks = $client->new_task_set;
$tasks->add_task(Gearman::Task->new('explode', \$payload, {
    on_exception => sub { $exception = hex_of($_[0]) },
    on_fail => sub { },
}));
$tasks->wait(timeout => 10);
$out{exception} = $exception;
print encode_json(\%out), "\n";
