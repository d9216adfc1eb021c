# Perl's Mojolicious: see __init__.py. MOJO_CA_FILE says whom it trusts.
use Mojo::Base -strict;
use Digest::SHA qw(sha256_hex);
use Mojo::IOLoop;
use Mojo::IOLoop::Stream;
use Mojo::UserAgent;

STDOUT->autoflush(1);
my $ua = Mojo::UserAgent->new(inactivity_timeout => 0);
if (my $version = $ENV{CLIENT_TLS}) {
  $ua->tls_options({SSL_version => 'TLSv' . $version =~ tr/./_/r});
}
$ua->websocket($ARGV[0] => {'Sec-WebSocket-Extensions' => 'permessage-deflate'} => sub {
  my ($ua, $tx) = @_;
  unless ($tx->is_websocket) {
    say 'failed ', ($tx->error // {})->{message} // $tx->res->code;
    return Mojo::IOLoop->stop;
  }
  $tx->max_websocket_size(1 << 24);
  say 'open ', $tx->res->headers->sec_websocket_extensions // '';
  $tx->on(text => sub {
    my ($tx, $bytes) = @_;
    say sprintf 'message %d %s %s', length $bytes, sha256_hex($bytes), length $bytes < 2000 ? $bytes : '';
  });
  $tx->on(finish => sub {
    my ($tx, $code, $reason) = @_;
    say "closed $code ", $reason // '';
    Mojo::IOLoop->stop;
  });
  my $input  = Mojo::IOLoop::Stream->new(\*STDIN)->timeout(0);
  my $buffer = '';
  $input->on(read => sub {
    $buffer .= $_[1];
    $tx->send({text => $1}) while $buffer =~ s/^([^\n]*)\n//;
  });
  $input->on(close => sub { $tx->finish(1000) });
  Mojo::IOLoop->stream($input);
});
Mojo::IOLoop->start;
