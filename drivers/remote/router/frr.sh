# FRR: a vtysh that is asked, one that waits for lines, and a shell that lends a hand.  The word is the pathspace, "-"
# for none.  VTYSH_HISTFILE keeps what is asked out of ~/.history_frr.

ferry_vtysh() { # PATHSPACE ARGUMENT …
    ferry_pathspace=$1
    shift
    if [ "$ferry_pathspace" = - ]; then
        TERM=dumb VTYSH_HISTFILE=/dev/null VTYSH_PAGER=cat exec vtysh "$@"
    fi
    TERM=dumb VTYSH_HISTFILE=/dev/null VTYSH_PAGER=cat exec vtysh -N "$ferry_pathspace" "$@"
}

do_frr_show() {
    ferry_vtysh "$1" 2>&1
}

# Where no lines come for half a minute, vtysh gets the end of an empty file, and ends: a waiting one holds back bgpd's
# leaking between VRFs.
do_frr_write() {
    timeout 30 cat | ferry_vtysh "$1" -f /dev/stdin
}

# Lines "BEGIN END COMMAND WORD …" on standard input; each answer stands between lines BEGIN and END.
do_frr_hand() {
    ferry_dir=/etc/frr
    [ "$1" = - ] || ferry_dir=/etc/frr/$1
    while read -r ferry_begin ferry_end ferry_command ferry_a ferry_b ferry_c; do
        printf '%s\n' "$ferry_begin"
        case $ferry_command in
        routes) # FAMILY: what the kernel forwards with, every table
            ip -j -d "-$ferry_a" route show table all 2>&1
            ;;
        route) # FAMILY PREFIX TABLE: that, what covers it, what lies within it
            ip -j -d "-$ferry_a" route show match "$ferry_b" table "$ferry_c" 2>&1
            ip -j -d "-$ferry_a" route show root "$ferry_b" table "$ferry_c" 2>&1
            ;;
        addresses)
            ip -j -d address show 2>&1
            ;;
        links)
            ip -j link show 2>&1
            ;;
        lock) # one writer at a time; the lock goes with this shell
            ferry_lock=/run/ferry-frr-$1.lock
            if exec 9>"$ferry_lock" && flock -w 5 9; then echo locked; else echo busy; fi
            ;;
        unlock)
            exec 9>&-
            ;;
        *) echo 'ferry-router: no such command' ;;
        esac
        printf '\n%s\n' "$ferry_end"
    done
}
