# ip.sh: plain Linux routers, by `ip` alone.  drivers/iproute; what comes and goes is on standard input and output.

# Questions, a line each, in the words of ip; nothing that could write.  The answer to each is followed by "@ip STATUS"
# on a line of its own, and what ip complained about by "@ip".
do_ip_show() {
    set -f
    while read -r ip_words; do
        case $ip_words in
        *[!A-Za-z0-9_./:@%+=,\ -]*)
            echo 'ferry-router: a question has other characters than words have' >&2
            return 64
            ;;
        'addr save' | '-4 route save table '* | '-6 route save table '*) ip_json= ;;
        'link show' | '-4 netconf show' | '-6 netconf show' | 'nexthop show id '* | '-4 route get '* | '-6 route get '*)
            ip_json=-j
            ;;
        *)
            echo 'ferry-router: ip_show does not ask this' >&2
            return 64
            ;;
        esac
        ip $ip_json $ip_words </dev/null
        printf '\n@ip %s\n' "$?"
        echo @ip >&2
    done
}

# Lines as `ip -batch` takes them.  Goes on past what the kernel refuses; "Command failed -:LINE" says which that was.
do_ip_batch() {
    exec ip -force -batch -
}

# An ARP question to everybody, by the kernel: it asks for a neighbour that it is told to use.
ip_ask() { # ADDRESS DEV
    ip neigh del "$1" dev "$2" 2>/dev/null
    ip neigh add "$1" dev "$2" use 2>/dev/null
}

# "DEV ADDRESS" a line: which of these IPv4 addresses does a machine answer for?  "ADDRESS DEV MAC" a line; "mute" first
# where this ip cannot ask.  Waits $1, a number that sleep takes.
do_ip_probe() {
    ip_lines=$(cat)
    echo "$ip_lines" | while read -r ip_dev ip_address; do
        ferry_plain "$ip_dev" "$ip_address" || exit 64
        ip_ask "$ip_address" "$ip_dev" || echo mute
    done
    sleep "$1" 2>/dev/null || sleep 1
    echo "$ip_lines" | while read -r ip_dev ip_address; do
        ferry_plain "$ip_dev" "$ip_address" || exit 64
        ip neigh show "$ip_address" dev "$ip_dev" | while read -r _ ip_word ip_mac _; do
            [ "$ip_word" != lladdr ] || echo "$ip_address $ip_dev $ip_mac"
        done
        ip neigh del "$ip_address" dev "$ip_dev" 2>/dev/null
    done
    return 0
}

# Of iputils and BusyBox, which take the same words.
ip_arping() {
    command -v arping >/dev/null || return 1
    case $(arping -V 2>&1) in
    *iputils* | *BusyBox*) ;;
    *) return 1 ;;
    esac
}

# "DEV ADDRESS" a line: tells the LAN that the address is here now.  To ask for one's own address is to announce it (RFC
# 5227 §3); arping says it as a reply, too, and goes on by itself.  IPv6 needs ndsend.
do_ip_announce() {
    ip_more=
    ! ip_arping || ip_more=arping
    while read -r ip_dev ip_address; do
        ferry_plain "$ip_dev" "$ip_address" || return 64
        case $ip_address in
        *:*)
            ! command -v ndsend >/dev/null || ndsend "$ip_address" "$ip_dev" >/dev/null 2>&1 </dev/null
            continue
            ;;
        esac
        ip_ask "$ip_address" "$ip_dev" </dev/null
        ip neigh del "$ip_address" dev "$ip_dev" 2>/dev/null </dev/null
        [ -z "$ip_more" ] || ! command -v setsid >/dev/null ||
            setsid arping -q -A -c 1 -w 1 -I "$ip_dev" "$ip_address" >/dev/null 2>&1 </dev/null &
    done
    return 0
}
