"""What breaks on FRR routers in the middle of a move, and that Ferry's word about it is true.

The end is the state before with 5, the state after with 0, or an honest 6 that names the router; `recover` leads home.
tests/campaign/frr-faults does the same for every fault, router and write.
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from frrfaults import Workshop, trial  # noqa: E402
from frrlab import WHY_NOT  # noqa: E402
from labtool import differences, namespaces  # noqa: E402

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

# Fault, router (primary, recovery, third), which file for vtysh, what Ferry may end with.
CASES = [("refused", 0, 1, {0, 5}), ("swallowed", 1, 2, {5}), ("half", 0, 2, {0, 5}), ("slow", 0, 2, {0, 5}),
         ("staticd-killed", 0, 2, {0, 5, 6}), ("sshd-killed", 0, 2, {0, 5, 6}), ("sshd-killed-after", 1, 3, {0, 5, 6}),
         ("staticd-stopped", 1, 2, {5, 6}), ("link-cut", 0, 2, {5, 6})]
if os.environ.get("FERRY_TEST_FULL"):
    CASES += [("refused", 2, 1, {0, 5}), ("staticd-killed-after", 1, 3, {0, 5, 6})]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    before = namespaces()
    with Workshop(tmp_path_factory.mktemp("faults")) as workshop:
        yield workshop
    assert namespaces() == before, "namespaces were left behind"


@pytest.mark.parametrize("fault,router,at,ends", CASES, ids=[f"{f}-{r}-{at}" for f, r, at, _ in CASES])
def test_word_is_true(lab, fault, router, at, ends):
    status, broke, _ = trial(lab, fault, lab.routers[router], at)
    assert broke, "the fault was never reached"
    assert status in ends


def test_full_disk_spoils_nothing(lab):
    """The move holds; what could not be saved is said; the file that was there is whole."""
    router = lab.routers[1]
    lab.shell(router, "cp -a /etc/frr /run/lab/fault/frr && mount -n -t tmpfs -o size=64k,mode=755 tmpfs /etc/frr && "
                      "cp -a /run/lab/fault/frr/. /etc/frr && chown frr:frr /etc/frr")
    lab.enter(router, "sh", "-c", "dd if=/dev/zero of=/etc/frr/full bs=1k")
    saved = lab.shell(router, "cat /etc/frr/frr.conf")
    done = lab.ferry("apply", "--move", "app=recovery", "--yes", rc=6)
    assert router in done.stdout and "not saved" in done.stdout
    assert lab.shell(router, "cat /etc/frr/frr.conf") == saved
    assert lab.attached() == [router]
    lab.shell(router, "umount -l /etc/frr")
    lab.ferry("rollback", "--yes")
    assert not differences(lab.before, lab.states()), done.stderr + differences(lab.before, lab.states())
