"""The same test failovers where the recovery site's router is plain Linux behind an sshd (driver iproute)."""
import pytest
from test_failover_lab import (a_lab, over_ssh, pytestmark,  # noqa: F401
                               test_beside_production_and_cleaned_up, test_its_rules_go_also_where_somebody_took_its_address,
                               test_the_clock_ends_it_also_without_the_controller,
                               test_the_clock_ends_it_where_the_controller_was_killed,
                               test_what_is_somebody_elses_is_refused)


def plain_linux(lab):
    for router in lab.document["routers"]:
        if router["name"] == lab.router("tf-recovery"):
            over_ssh(lab, router)


@pytest.fixture(name="lab", scope="module")
def make_lab(tmp_path_factory):
    yield from a_lab(tmp_path_factory.mktemp("ti"), "ti", plain_linux)


def test_it_is_the_driver_that_is_meant(lab):
    drivers = {router["name"]: router["driver"]["type"] for router in lab.document["routers"]}
    assert drivers[lab.router("tf-recovery")] == "iproute" and list(drivers.values()).count("netlink") == 2
