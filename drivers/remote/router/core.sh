# Core: takes VERB and words apart, checks them, runs do_VERB, and says how it ended.
#
#   ferry-router [@NONCE[:BYTES][/CLAIM]] VERB [WORD …]       as arguments, or all of it in SSH_ORIGINAL_COMMAND
#
# A verb is a shell function do_VERB in one of the files beside this one, written at the start of a line; FERRY_VERBS
# holds their names, FERRY_ROUTER the hash of the whole script, both written by join.cmake.  A verb runs in a subshell:
# it may exit or exec.  Functions and variables of core begin with ferry_ and FERRY_.
#
#  C1. Words are [A-Za-z0-9_./:@%+=,-]+, at most 255 bytes, at most six, and begin with "-" only where that is all.
#      Whatever else comes is refused before anything is run.  Nothing is ever given to eval.
#  C2. With a NONCE (hex digits) the verb's output stands between the lines "ferry-begin NONCE" and, after one more line
#      feed, "ferry-end NONCE STATUS": output without the second was cut off.  Refusals have neither.
#  C3. With BYTES the verb is run only when exactly so many bytes have come on standard input, and their end: half a
#      batch, from a connection that broke, is not run at all.  NULs do not come through.
#  C4. A verb that is fed while it runs gets the end of input when the connection breaks, too.  Where half of the input
#      would do harm, it goes through ferry_whole.
#  C5. With CLAIM (hex digits) the verb is run only while that is this router's newest claim (fence.sh, F1).
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
VTYSH_HISTFILE=/dev/null
export PATH LC_ALL VTYSH_HISTFILE
unset ENV BASH_ENV CDPATH IFS VTYSH_PAGER
umask 077

ferry_refuse() {
    printf 'ferry-router: %s\n' "$1" >&2
    exit 64
}

ferry_plain() { # C1
    for ferry_word; do
        case $ferry_word in
        -) ;;
        '' | -* | *[!A-Za-z0-9_./:@%+=,-]*) return 1 ;;
        esac
        [ ${#ferry_word} -le 255 ] || return 1
    done
}

# Waits 5 s at most.  The -w of util-linux is not BusyBox's.
ferry_flock() { # [-s] FD
    flock -n "$@" || timeout 5 flock "$@"
}

# Passes standard input on up to a line "! whole", without waiting for what stands behind.  Nothing of it where that line does
# not come (C4), or not within SECONDS.  One process: this stands in the way of an outage.
ferry_whole() { # [SECONDS]
    ${1:+timeout "$1"} sed -n 'H;/^! whole$/{g;s/^\n//;s/\n*! whole$//;p;q;}'
}

# Who is there: the facts of ferry_remote_facts, a line each.
do_hello() {
    echo "router $FERRY_ROUTER"
    echo "uid $(id -u)"
    read -r ferry_boot </proc/sys/kernel/random/boot_id
    echo "boot $ferry_boot"
    if command -v vtysh >/dev/null; then
        echo 'has vtysh'
    fi
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        echo 'has systemd-run'
    fi
}

ferry_run() { # VERB WORD …
    [ -z "$FERRY_NONCE" ] || echo "ferry-begin $FERRY_NONCE"
    if [ -n "$FERRY_BYTES" ]; then
        printf %s "$ferry_input" | (
            unset ferry_input
            "do_$@"
        )
    else
        ("do_$@")
    fi
    ferry_status=$?
    [ -z "$FERRY_NONCE" ] || printf '\nferry-end %s %s\n' "$FERRY_NONCE" "$ferry_status"
    exit "$ferry_status"
}

ferry_main() {
    FERRY_NONCE= FERRY_BYTES= FERRY_CLAIM=
    case ${1-} in
    @*)
        FERRY_NONCE=${1#@}
        case $FERRY_NONCE in */*) FERRY_CLAIM=${FERRY_NONCE#*/} FERRY_NONCE=${FERRY_NONCE%%/*} ;; esac
        case $FERRY_NONCE in *:*) FERRY_BYTES=${FERRY_NONCE#*:} FERRY_NONCE=${FERRY_NONCE%%:*} ;; esac
        [ -n "$FERRY_NONCE" ] || ferry_refuse 'there is no nonce'
        case $FERRY_NONCE$FERRY_CLAIM in *[!0-9a-f]*) ferry_refuse 'the nonce is not hexadecimal' ;; esac
        case $FERRY_BYTES in *[!0-9]*) ferry_refuse 'the number of bytes is not a number' ;; esac
        shift
        ;;
    esac
    [ $# -ge 1 ] && [ $# -le 7 ] || ferry_refuse 'expects a verb and at most six words'
    ferry_plain "$@" || ferry_refuse 'a word has other characters than A-Z a-z 0-9 _ . / : @ % + = , -, or is too long'
    case " $FERRY_VERBS " in
    *" $1 "*) ;;
    *) ferry_refuse "unknown verb $1" ;;
    esac
    [ -z "$FERRY_CLAIM" ] || fence_enter "$FERRY_CLAIM" # C5; before its input: who waits for that is killed by a newer claim
    if [ -n "$FERRY_BYTES" ]; then # C3
        ferry_input=$(cat && echo x)
        ferry_input=${ferry_input%x}
        [ ${#ferry_input} -eq "$FERRY_BYTES" ] || ferry_refuse 'the input was cut off: nothing was run'
    fi
    ferry_run "$@"
}

if [ $# -eq 0 ] && [ -n "${SSH_ORIGINAL_COMMAND-}" ]; then
    # The forced command of a key.  Spaces separate words, and there is nothing else that would need a shell.
    case $SSH_ORIGINAL_COMMAND in
    *[!A-Za-z0-9_./:@%+=,\ -]*) ferry_refuse 'this key runs only: ferry-router VERB WORD ...' ;;
    esac
    [ ${#SSH_ORIGINAL_COMMAND} -le 2000 ] || ferry_refuse 'the command is too long'
    set -f
    set -- $SSH_ORIGINAL_COMMAND
    set +f
    [ "${1-}" != ferry-router ] || shift
fi
ferry_main "$@"
