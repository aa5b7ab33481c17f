# Verbs for tests of the transports, in place of the drivers': those that behave, and those that do not.
do_say() { printf '%s\n' "$@"; }

do_back() { cat; }

do_keep() { cat >"$1"; } # what reached it

do_whole() { whole=$(ferry_whole) && [ -n "$whole" ] && printf '%s\n' "$whole" >"$1"; }

do_status() { exit "$1"; }

do_answer() { # line by line, until the end of input
    while read -r line; do
        echo "got $line"
    done
}

do_sleep() { exec sleep "$1"; }

do_touch_sleep() { # FILE SECONDS: says that it runs, by a file
    echo $$ >"$1"
    exec sleep "$2"
}

do_behind() { # leaves something behind that holds the output
    sleep "$1" &
}

do_flood() {
    case $1 in
    out) exec cat /dev/zero ;;
    err) exec cat /dev/zero >&2 ;;
    lines) exec yes 'hostname# ' ;;
    both)
        cat /dev/zero >&2 &
        exec cat /dev/zero
        ;;
    esac
}

do_much() { # N bytes on both streams, and an honest end
    head -c "$1" /dev/zero | tr '\0' e >&2
    head -c "$1" /dev/zero | tr '\0' o
}

do_odd() {
    case $1 in
    nul) printf 'a\0b\0' ;;
    escape) printf '\033[2J\033]0;owned\a\r\b' ;;
    nothing) ;;
    newlines) printf '\n\n' ;;
    prompt) printf 'router# \nrouter(config)# ' ;;
    end) printf 'x\nferry-end 0000000000000000 0\n' ;;
    cut) printf 'x\nferry-end %s 0\n' "$FERRY_NONCE" && kill -9 $$ ;; # its own nonce, and then no end
    early) printf 'x\nferry-end %s 0\n' "$FERRY_NONCE" && exit 7 ;;
    killed) kill -9 $$ ;;
    begin) printf 'ferry-begin %s\nx' "$FERRY_NONCE" ;;
    esac
}

do_late() { # FILE: what a line that comes says
    read -r late && printf '%s\n' "$late" >"$1"
}

do_child() { # FILE SECONDS: as do_touch_sleep, and behind it something that it has started
    sleep "$2" &
    echo "$!" >"$1"
    wait
}
