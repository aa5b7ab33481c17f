#!/bin/sh -e
# ferry plan <id>, topology brings, mode undo

# stage 1/4 prepare — edge-primary
ip -n edge-primary route add blackhole 192.168.1.0/24 metric 2100 proto 210 table 100

# stage 1/4 prepare — edge-recovery
ip -n edge-recovery route add blackhole 192.168.1.0/24 metric 2100 proto 210 table 100

# stage 2/4 detach — edge-primary
ip -n edge-primary route del 192.168.1.0/24 via 10.255.12.2 dev to-recovery metric 20 proto 210 table 100

# stage 2/4 detach — edge-recovery
ip -n edge-recovery route del 192.168.1.0/24 dev eth1.101 proto 210 table 100
ip -n edge-recovery addr del 192.168.1.1/24 dev eth1.101
ip -n edge-recovery rule del to 192.168.1.0/24 lookup 100 priority 32764 protocol 210
ip -n edge-recovery rule del from 192.168.1.0/24 iif eth1.101 lookup 100 priority 32764 protocol 210
ip -n edge-recovery link del dev eth1.101

# stage 3/4 attach — edge-primary
ip -n edge-primary link add name br101 group 210 type bridge
ip -n edge-primary link set dev eth1 master br101
ip -n edge-primary link set dev br101 up
ip -n edge-primary rule add to 192.168.1.0/24 lookup 100 priority 32764 protocol 210
ip -n edge-primary rule add from 192.168.1.0/24 iif br101 lookup 100 priority 32764 protocol 210
ip -n edge-primary addr add 192.168.1.1/24 noprefixroute dev br101
ip -n edge-primary route add 192.168.1.0/24 dev br101 proto 210 table 100

# stage 3/4 attach — edge-recovery
ip -n edge-recovery route add 192.168.1.0/24 via 10.255.12.1 dev to-primary metric 20 proto static table 100

# stage 4/4 settle — edge-primary
ip -n edge-primary route del blackhole 192.168.1.0/24 metric 2100 proto 210 table 100

# stage 4/4 settle — edge-recovery
ip -n edge-recovery route del blackhole 192.168.1.0/24 metric 2100 proto 210 table 100

# stage 4/4 settle — edge-third
ip -n edge-third route replace 192.168.1.0/24 via 10.255.13.1 dev to-primary metric 20 proto static
