# ferry plan <id>, topology three-site, mode undo
# No script: each block is to be entered on the router that it names.
! echo 'no script: each block is for the router that it names' >&2; exit 64

# stage 1/4 prepare — edge-primary
ip route add blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 1/4 prepare — edge-recovery
ip route add blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 2/4 detach — edge-primary
ip route del 192.168.1.0/24 via 10.255.12.2 dev to-recovery metric 20 proto ferry

# stage 2/4 detach — edge-recovery
ip addr del 192.168.1.1/24 dev lan0

# stage 3/4 attach — edge-primary
ip addr add 192.168.1.1/24 dev lan0

# stage 3/4 attach — edge-recovery
ip route add 192.168.1.0/24 via 10.255.12.1 dev to-primary metric 20 proto static

# stage 4/4 settle — edge-primary
ip route del blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 4/4 settle — edge-recovery
ip route del blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 4/4 settle — edge-third
ip route replace 192.168.1.0/24 via 10.255.13.1 dev to-primary metric 20 proto static
