# ferry plan <id>, topology woodgrove, mode planned
# No script: each block is to be entered on the router that it names.
! echo 'no script: each block is for the router that it names' >&2; exit 64

# stage 1/5 prepare — gw-cloud
awk -F'[=, ]+' '{ for (i = 2; i <= NF; i++) if ($i != "" && $i != "192.168.1.0/24") l = l "," $i } END { print "local_ts = " substr(l ",192.168.1.0/24", 2) }' /etc/swanctl/ferry/on-premises.subnets.local_ts > /etc/swanctl/ferry/on-premises.subnets.local_ts.new && mv /etc/swanctl/ferry/on-premises.subnets.local_ts.new /etc/swanctl/ferry/on-premises.subnets.local_ts
swanctl --load-conns
swanctl --terminate --child subnets || true

# stage 1/5 prepare — gw-branch
wg set wg-cloud peer Y2xvdWQtZ2F0ZXdheS1wdWJsaWMta2V5LTAwMDAwMDA= allowed-ips "$(wg show wg-cloud allowed-ips | awk '$1 == "Y2xvdWQtZ2F0ZXdheS1wdWJsaWMta2V5LTAwMDAwMDA=" { for (i = 2; i <= NF; i++) if ($i != "(none)" && $i != "192.168.1.0/24") print $i } END { print "192.168.1.0/24" }' | paste -sd,)"

# stage 2/5 prepare — gw-on-premises
ip route add blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 2/5 prepare — gw-cloud
ip route add blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 2/5 prepare — gw-branch
ip route replace 192.168.1.0/24 via 10.255.23.1 dev wg-cloud metric 20 proto ferry

# stage 3/5 detach — gw-on-premises
ip addr del 192.168.1.1/24 dev lan-apps

# stage 3/5 detach — gw-cloud
ip route del 192.168.1.0/24 via 10.255.12.1 dev ipsec-onprem metric 20 proto static
awk -F'[=, ]+' '{ for (i = 2; i <= NF; i++) if ($i != "" && $i != "192.168.1.0/24") l = l "," $i } END { print "remote_ts = " substr(l, 2) }' /etc/swanctl/ferry/on-premises.subnets.remote_ts > /etc/swanctl/ferry/on-premises.subnets.remote_ts.new && mv /etc/swanctl/ferry/on-premises.subnets.remote_ts.new /etc/swanctl/ferry/on-premises.subnets.remote_ts
swanctl --load-conns
swanctl --terminate --child subnets || true

# stage 4/5 attach — gw-on-premises
ip route add 192.168.1.0/24 via 10.255.12.2 dev ipsec-cloud metric 20 proto ferry
awk -F'[=, ]+' '{ for (i = 2; i <= NF; i++) if ($i != "" && $i != "192.168.1.0/24") l = l "," $i } END { print "remote_ts = " substr(l ",192.168.1.0/24", 2) }' /etc/swanctl/ferry/cloud.subnets.remote_ts > /etc/swanctl/ferry/cloud.subnets.remote_ts.new && mv /etc/swanctl/ferry/cloud.subnets.remote_ts.new /etc/swanctl/ferry/cloud.subnets.remote_ts
swanctl --load-conns
swanctl --terminate --child subnets || true

# stage 4/5 attach — gw-cloud
ip addr add 192.168.1.1/24 dev recovery

# stage 5/5 settle — gw-on-premises
ip route del blackhole 192.168.1.0/24 metric 2100 proto ferry
awk -F'[=, ]+' '{ for (i = 2; i <= NF; i++) if ($i != "" && $i != "192.168.1.0/24") l = l "," $i } END { print "local_ts = " substr(l, 2) }' /etc/swanctl/ferry/cloud.subnets.local_ts > /etc/swanctl/ferry/cloud.subnets.local_ts.new && mv /etc/swanctl/ferry/cloud.subnets.local_ts.new /etc/swanctl/ferry/cloud.subnets.local_ts
swanctl --load-conns
swanctl --terminate --child subnets || true

# stage 5/5 settle — gw-cloud
ip route del blackhole 192.168.1.0/24 metric 2100 proto ferry

# stage 5/5 settle — gw-branch
wg set wg-onprem peer b25wcmVtaXNlcy1nYXRld2F5LXB1YmxpYy1rZXktMDA= allowed-ips "$(wg show wg-onprem allowed-ips | awk '$1 == "b25wcmVtaXNlcy1nYXRld2F5LXB1YmxpYy1rZXktMDA=" { for (i = 2; i <= NF; i++) if ($i != "(none)" && $i != "192.168.1.0/24") print $i }' | paste -sd,)"
