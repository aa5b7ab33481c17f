# FRR: a vtysh and `ip`s that are asked, a vtysh that waits for lines, and a shell that lends a hand.  The word is the pathspace, "-"
# for none.  VTYSH_HISTFILE keeps what is asked out of ~/.history_frr.

ferry_vtysh() { # PATHSPACE ARGUMENT …
    ferry_pathspace=$1
    shift
    if [ "$ferry_pathspace" = - ]; then
        TERM=dumb VTYSH_HISTFILE=/dev/null exec vtysh "$@"
    fi
    TERM=dumb VTYSH_HISTFILE=/dev/null exec vtysh -N "$ferry_pathspace" "$@"
}

do_frr_show() {
    ferry_vtysh "$1" 2>&1
}

# The first two lines change nothing, and are read at once: a vtysh 8.4 puts its grammar of a context together when it enters it
# for the first time, for 5 ms of processor time, which would stand in the way of an outage.  Where no lines come for half a minute, vtysh gets the end of an empty file, and ends: a waiting one holds back bgpd's
# leaking between VRFs.  It gets all of the lines or none, also where the connection breaks between them.
do_frr_write() { # PATHSPACE [INTERFACE that stands in the configuration]
    {
        [ $# -lt 2 ] || printf 'interface %s\nexit\n' "$2"
        ferry_whole 30
    } | ferry_vtysh "$1" -f /dev/stdin
}

# Lines of `ip -batch`, one family each.  A line that is no command of ip's is answered by its own words: so an answer is
# told from the next.
do_frr_ip4() {
    exec ip -4 -N -j -d -force -batch - 2>&1
}

do_frr_ip6() {
    exec ip -6 -N -j -d -force -batch - 2>&1
}

# Lines "BEGIN END COMMAND" on standard input; each answer stands between lines BEGIN and END.
do_frr_hand() {
    ferry_dir=/etc/frr
    [ "$1" = - ] || ferry_dir=/etc/frr/$1
    while read -r ferry_begin ferry_end ferry_command; do
        printf '%s\n' "$ferry_begin"
        case $ferry_command in
        lock) # one writer at a time; the lock goes with this shell
            ferry_lock=/run/frr # FRR's own directory: whoever may use its vtysh can open it, root or not
            [ "$1" = - ] || ferry_lock=/run/frr/$1
            if [ -r "$ferry_lock" ] && exec 9<"$ferry_lock" && ferry_flock 9; then echo locked; else echo busy; fi
            ;;
        unlock)
            exec 9>&-
            ;;
        saved) # what FRR starts with: one file, or one a daemon
            if [ -s "$ferry_dir/frr.conf" ]; then cat "$ferry_dir/frr.conf"; else
                for ferry_file in "$ferry_dir"/*d.conf "$ferry_dir"/zebra.conf; do
                    [ ! -f "$ferry_file" ] || cat "$ferry_file"
                done
            fi
            ;;
        disk) # KiB that are free there, and KiB of all that is there
            df -Pk "$ferry_dir" | awk 'NR == 2 { print $4 }' | tr '\n' ' '
            du -sk "$ferry_dir" | cut -f 1
            ;;
        keep) # a copy of what was saved, whole before it takes its name
            ferry_ok=kept
            for ferry_file in "$ferry_dir"/*.conf; do
                [ -f "$ferry_file" ] || continue
                cp -p "$ferry_file" "$ferry_file.ferry.new" && sync "$ferry_file.ferry.new" &&
                    mv "$ferry_file.ferry.new" "$ferry_file.ferry" || ferry_ok='not kept'
            done
            echo "$ferry_ok"
            ;;
        save)
            (TERM=dumb && export TERM && timeout 20 sh -c 'if [ "$1" = - ]; then exec vtysh -c "write memory"; fi
                exec vtysh -N "$1" -c "write memory"' - "$1") 2>&1
            ;;
        *) echo 'ferry-router: no such command' ;;
        esac
        printf '\n%s\n' "$ferry_end"
    done
}
