"""What the benchmark of a champion at work reads from the one of the server."""

from benchmarks.at_work import FORWARD, SERVED

PRINTED = """\
photographs version 1, 80 photographs of 50 KB on average
                            images/s  CPU ms an image
forward pass of 16             100.9            19.02
forward pass of 1               61.3            20.22
decoding, forward pass of 1     52.4            24.11
clients  images/s  of forward pass  CPU ms an image  p50 ms  p95 ms  p99 ms  refused
     32      55.5             0.55            27.84   560.0   700.0   820.0        0
"""


def test_rate_and_share_are_those_of_the_clients_and_of_the_batches() -> None:
    served, forward = SERVED.search(PRINTED), FORWARD.search(PRINTED)
    assert served is not None and forward is not None
    assert (served["rate"], served["share"], forward["rate"]) == ("55.5", "0.55", "100.9")
