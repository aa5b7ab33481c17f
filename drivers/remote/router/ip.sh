# ip.sh: plain Linux routers, by `ip` alone.  drivers/iproute; what comes and goes is on standard input and output.

# Runs ip; behind what it says stands "@ip STATUS" on a line of its own, then what it complained about, then "@err".
ip_run() {
    { ip_err=$(ip "$@" 2>&1 >&3 3>&-); } 3>&1
    printf '\n@ip %s\n%s\n@err\n' "$?" "$ip_err"
}

# A question in the words of ip; nothing that could write.
ip_answer() {
    case $1 in
    *[!A-Za-z0-9_./:@%+=,\ -]*)
        echo 'ferry-router: a question has other characters than words have' >&2
        return 64
        ;;
    'addr save' | '-4 rule save' | '-6 rule save' | '-4 route save table '* | '-6 route save table '*) ip_run $1 </dev/null ;;
    'link show' | '-d link show type vlan' | '-4 netconf show' | '-6 netconf show' | 'nexthop show id '* | '-4 route get '* | '-6 route get '*)
        ip_run -j $1 </dev/null
        ;;
    *)
        echo 'ferry-router: this is not asked' >&2
        return 64
        ;;
    esac
}

# Lines as `ip -batch` takes them.  Goes on past what the kernel refuses; "Command failed -:LINE" says which that was.
do_ip_batch() {
    exec ip -force -batch -
}

# An ARP question to everybody, by the kernel: it asks for a neighbour that it is told to use.  Not for one that the
# administrator has entered by hand.
ip_ask() { # ADDRESS DEV
    [ -z "$(ip neigh show "$1" dev "$2" nud permanent 2>/dev/null)" ] || return 1
    ip neigh del "$1" dev "$2" 2>/dev/null
    ip neigh add "$1" dev "$2" use 2>/dev/null
}

# "DEV ADDRESS" a line: which of these IPv4 addresses does a machine answer for?  "ADDRESS DEV MAC" a line; "mute" first
# where this ip cannot ask.  The first line is how long to wait, in seconds.
ip_probe() {
    read -r ip_wait
    ip_lines=$(cat)
    echo "$ip_lines" | while read -r ip_dev ip_address; do
        ferry_plain "$ip_dev" "$ip_address" || exit 64
        ip_ask "$ip_address" "$ip_dev" || echo mute
    done
    sleep "$ip_wait" 2>/dev/null || sleep 1
    echo "$ip_lines" | while read -r ip_dev ip_address; do
        ferry_plain "$ip_dev" "$ip_address" || exit 64
        set -- $(ip neigh show "$ip_address" dev "$ip_dev")
        case "$*" in *PERMANENT*) continue ;; esac
        [ "${2-}" != lladdr ] || echo "$ip_address $ip_dev $3"
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
ip_announce() {
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
        ! ip_ask "$ip_address" "$ip_dev" </dev/null || ip neigh del "$ip_address" dev "$ip_dev" 2>/dev/null </dev/null
        [ -z "$ip_more" ] || ! command -v setsid >/dev/null ||
            setsid arping -q -A -c 1 -w 1 -I "$ip_dev" "$ip_address" >/dev/null 2>&1 </dev/null 8<&- &
    done
    return 0
}

# For those who keep no session: the FRR driver.
do_ip_announce() {
    ip_announce
}

# Stays, and takes "WHAT NONCE LINES", that many lines, and "end NONCE"; then says "@done NONCE".  Questions (show) are
# answered as they come; a batch, as ip_batch takes it, a probe or an announcement is begun when its end has come.
do_ip_session() {
    set -f
    while read -r ip_what ip_nonce ip_count; do
        case $ip_nonce in '' | *[!0-9a-f]*) return 64 ;; esac
        case $ip_count in '' | *[!0-9]*) return 64 ;; esac
        ip_lines=
        while [ "$ip_count" -gt 0 ]; do
            read -r ip_line || return 65
            ip_count=$((ip_count - 1))
            case $ip_what in
            show) ip_answer "$ip_line" || return ;;
            batch | probe | announce) ip_lines="$ip_lines$ip_line
" ;;
            *) return 64 ;;
            esac
        done
        read -r ip_line && [ "$ip_line" = "end $ip_nonce" ] || return 65
        case $ip_what in
        batch) printf %s "$ip_lines" | ip_run -force -batch - ;;
        probe | announce) printf %s "$ip_lines" | "ip_$ip_what" ;;
        esac
        echo "@done $ip_nonce"
    done
}
