# deadman.sh: an undo that waits on the router, and the one record that confirm and timer race for.  docs/confirm.md.
#
#   ${FERRY_DEADMAN_DIR:-/var/lib/ferry/deadman}/ROUTER/ID/   mode 0700; on a disk: it must outlive a restart.  A router
#                that is a namespace of a bigger machine: ROUTER@NUMBER, for others there may have its name
#       state    "armed BOOT DEADLINE FROM TO" (1/100 s of /proc/uptime in that boot; the delays of the steps that will be run, TO
#                "-" or missing: to the last one), and "NEXT SPLIT" while there are two deadlines: steps of a delay of SPLIT and more
#                are run after NEXT, which is the later one ("-": none are); "rests BOOT DEADLINE FROM TO": the others were run;
#                "confirmed" or "fired"
#       limit.FROM.TO   empty: what counts in place of the state's FROM and TO, where it is there (who rests begins no earlier)
#       steps    "N DELAY KIND PATHSPACE", a line a step; N: its text; pathspace: "-" for none
#       timer    waits and undoes; needs nothing but this directory
#       pid      of the timer: "PID START", or "unit NAME"
#       log, result; part: all that was to be run at the first of two deadlines was; *.undone: what they say where nothing failed
#
#  D1. `state` is read and changed under the lock ROUTER/lock alone, by renaming a file that was synced before, and so is the
#      limit.  For a confirm and an undo, with its limits, all files are there when the record is: a full disk stops neither.
#  D2. Armed is left once: for confirmed by a confirm before the deadline, for fired by the timer after it; or for rests, where
#      some of the steps are to be run at a later deadline, which only a disarming keeps from it.
#  D3. Fired is durable before the first command of the undo.
#  D4. A record of another boot is never confirmed, only disarmed: the router came back as it was saved, before the change.
#  D5. A record is one once it has its name: ID.new is the beginning of one, and counts for nothing.
#  D6. The undo is run once, as long as its timer lives: one that could not write that it has fired stays until it can, so that
#      nobody takes its place.
#
# Answers of all verbs, one line: "armed SECONDS", "moving SECONDS" (armed, with two deadlines), "rests SECONDS", "confirmed",
# "fired TEXT", "none".

# What the verbs and the timer share, a constant text; the timer takes it along into its record.
dm_library() {
    cat <<'LIBRARY'
dm_sync() { sync "$@" 2>/dev/null || sync; }

dm_lock() { exec 9<"$dir/lock" && { flock -n 9 || timeout 5 flock 9; }; } # not -w: BusyBox has none

dm_unlock() { exec 9<&-; }

dm_now() {
    read -r now _ </proc/uptime
    now=$((${now%.*} * 100 + 1${now#*.} - 100))
}

# state, boot, deadline, from, to, limit, next, split; left (1/100 s, to the first deadline at which anything is run; 0: over), restarted.
dm_load() {
    state=none boot= deadline=0 due=0 from=0 to= next= split= left=0 restarted= limit=
    [ -f "$rec/state" ] || return 0
    read -r state boot deadline from to next split <"$rec/state"
    from=${from:-0}
    [ "$to" != - ] || to=
    dm_waits || return 0
    dm_load_limit
    read -r this_boot </proc/sys/kernel/random/boot_id
    dm_now
    if [ "$boot" != "$this_boot" ]; then
        restarted=yes deadline=$now due=$now next= split=
    else
        due=$deadline
        [ "$split" != 0 ] || due=$next
        [ "$due" -le "$now" ] || left=$((due - now))
    fi
}

dm_load_limit() {
    for limit in "$rec"/limit.*; do
        [ -e "$limit" ] || { limit= && return; } # an older ferry-router's record: the state has them
        to=${limit##*/limit.}
        [ "$state" = rests ] && [ "$from" -gt "${to%.*}" ] || from=${to%.*}
        to=${to#*.}
    done
    [ "$to" != - ] || to=
}

dm_waits() { [ "$state" = armed ] || [ "$state" = rests ]; }

# From armed to confirmed or fired; the file was made ready when the record was.
dm_become() {
    mv -f "$rec/state.$1" "$rec/state" && dm_sync "$rec"
}

# 1/100 s, where sleep knows whole seconds alone too: stages are too near each other for one that is rounded up.
dm_sleep() {
    dm_now
    wake=$((now + $1))
    sleep "$(($1 / 100)).$(($1 % 100 / 10))$(($1 % 10))" 2>/dev/null && return
    sleep $(($1 / 100))
    while dm_now && [ "$now" -lt "$wake" ]; do :; done
}

# What a process cannot share with a later one of its number.
dm_birth() {
    birth=
    read -r birth 2>/dev/null <"/proc/$1/stat" || return 1
    birth=${birth##*) }
    # shellcheck disable=SC2086
    set -- $birth
    birth=${20}
    [ "$1" != Z ] # dead, and nobody has asked
}

# Says what was not done and was not done before.  A rule, or all of an interface, that is gone already: no failure where lines
# only take away.
dm_run_ip() {
    out=$(LC_ALL=C ip -force -batch "$1" 2>&1) && return 0
    gone='^$'
    grep -q -v -e '^[a-z]* del ' "$1" || gone='^RTNETLINK answers: No such file or directory\|^Cannot find device'
    bad=$(printf '%s\n' "$out" | grep -v -i -e '^$' -e '^Command failed' -e 'No such process' -e 'File exists' \
        -e 'Cannot assign requested address' -e 'address not found' -e 'address already assigned' \
        -e 'FIB table does not exist' -e "$gone")
    [ -n "$out" ] && [ -z "$bad" ] && return 0
    printf '%s\n' "$out"
    return 1
}

dm_run_vtysh() {
    if [ "$2" = - ]; then
        out=$(VTYSH_HISTFILE=/dev/null vtysh -f "$1" 2>&1)
    else
        out=$(VTYSH_HISTFILE=/dev/null vtysh -N "$2" -f "$1" 2>&1)
    fi
    status=$?
    bad=$(printf '%s\n' "$out" | grep '%' | grep -v 'Refusing to remove')
    [ "$status" = 0 ] && [ -z "$bad" ] && return 0
    printf 'exit %s: %s\n' "$status" "$out"
    return 1
}

dm_undo() { # the file for the result
    failed=
    if (: >>"$rec/log") 2>/dev/null; then exec 3>>"$rec/log"; else exec 3>/dev/null; fi # read-only by now: undo
    while read -r number delay kind pathspace; do
        [ "$delay" -ge "$from" ] || continue
        [ -z "$to" ] || [ "$delay" -lt "$to" ] || break
        try=1
        dm_now
        due=$((deadline + delay * 100))
        [ "$due" -gt "$now" ] && dm_sleep $((due - now))
        until "dm_run_$kind" "$rec/$number" "$pathspace" >&3 2>&1; do
            [ $try -ge 5 ] && failed="$failed $number" && break
            try=$((try + 1))
            sleep 1
        done
        echo "step $number ($kind), tried $try times" >&3
    done <"$rec/steps"
    dm_say "$1"
}

dm_say() {
    if [ -z "$failed" ]; then
        mv -f "$rec/$1.undone" "$rec/$1" # takes no room on a full disk
    else
        echo "failed in step$failed" >"$rec/$1"
    fi
    dm_sync "$rec/$1" "$rec"
}

# The steps of the first of two deadlines.  The rest of them waits.
dm_undo_part() {
    [ -n "$to" ] && [ "$to" -le "$split" ] || to=$split
    dm_undo part
}

# The timer: until the deadline, or as long as others move it; then the undo, unless somebody confirmed.
dm_timer() {
    umask 077
    rec=${0%/*} parted=
    dir=${rec%/*}
    dm_birth $$ && [ "$1" != unit ] && echo "$$ $birth" >"$rec/pid.new" && mv -f "$rec/pid.new" "$rec/pid"
    while :; do
        if ! dm_lock; then # somebody hangs while holding it: that is no confirm
            sleep 1
            continue
        fi
        dm_load
        dm_waits || exit 0
        [ "$state$parted" != armedyes ] || dm_rest
        if [ "$left" -gt 0 ]; then
            dm_unlock
            [ "$left" -le 6000 ] || left=6000
            dm_sleep "$left"
        elif [ "${split:--}" != - ] && [ "$split" != 0 ]; then
            dm_become rests
            dm_unlock
            dm_undo_part
            parted=yes
        else
            break
        fi
    done
    [ "$split" != 0 ] || deadline=$next
    # Where not even a rename works, no confirm can be written either (D2): undo.
    dm_become fired
    dm_unlock
    dm_undo result
    until [ ! -f "$rec/state.fired" ]; do # D6
        dm_sleep 500
        dm_lock || continue
        dm_become fired && dm_say result
        dm_unlock
    done
}

# As the state would say it, had the disk taken it.
dm_rest() {
    [ "$from" -ge "$split" ] || from=$split
    deadline=$next left=0 next= split=
    [ "$deadline" -le "$now" ] || left=$((deadline - now))
}
LIBRARY
}

# ---- The verbs. ----

dm_base=${FERRY_DEADMAN_DIR:-/var/lib/ferry/deadman}

# ROUTER ID: dir, rec.  The library comes in here: other verbs do without.
dm_enter() {
    eval "$(dm_library)"
    router=$1 id=$2
    net=$(readlink /proc/self/ns/net)
    if [ "$net" != "$(readlink /proc/1/ns/net)" ]; then
        net=${net#*[}
        router=$router@${net%]}
    fi
    dm_place
}

dm_place() {
    dir=$dm_base/$router
    rec=$dir/$id
    case $router/$id in
    */*/* | .* | */.*) echo "a router or transaction cannot be named $router/$id" >&2; return 1 ;;
    esac
}

dm_systemd() { # and this is its own network: a unit would run in that one
    [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1 &&
        [ "$(readlink /proc/self/ns/net)" = "$(readlink /proc/1/ns/net)" ] &&
        [ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ]
}

dm_alive() {
    [ -f "$rec/pid" ] && read -r pid start <"$rec/pid" || return 1
    if [ "$pid" = unit ]; then
        systemctl is-active --quiet "$start.timer" || systemctl is-active --quiet "$start.service"
    else
        dm_birth "$pid" && [ "$birth" = "$start" ]
    fi
}

# Only with the lock, and only while armed: a timer that has begun to undo is not to be touched.
dm_stop() {
    dm_alive || return 0
    if [ "$pid" = unit ]; then
        systemctl stop "$start.timer" "$start.service" 2>/dev/null
    else
        kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null
    fi
    return 0
}

# Starts the timer, which holds nothing of the connection's, and looks that it is there.
dm_start() {
    rm -f "$rec/pid"
    if dm_systemd; then
        unit="ferry-deadman-$id-$due"
        seconds=$((left / 100)) # the timer waits for what is left of it: stages are but seconds apart
        echo "unit $unit" >"$rec/pid"
        systemd-run --quiet --collect --unit="$unit" --on-active="${seconds}s" --timer-property=AccuracySec=10ms \
            /bin/sh "$rec/timer" unit >&2 </dev/null 8<&- 9<&- || return 1
        dm_alive
        return
    fi
    if command -v setsid >/dev/null 2>&1; then
        setsid /bin/sh "$rec/timer" </dev/null >/dev/null 2>&1 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- &
    else
        (trap '' HUP; exec /bin/sh "$rec/timer") </dev/null >/dev/null 2>&1 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- &
    fi
    tries=0
    while [ $tries -lt 200 ]; do
        dm_alive && return 0
        tries=$((tries + 1))
        sleep 0.01 2>/dev/null || sleep 1
    done
    echo "the timer did not start" >&2
    return 1
}

# Says how it stands.  An armed record whose timer has died gets a new one; one that has died at its undo is over, and who asks looks
# at the router itself.
dm_answer() {
    dm_load
    case $state in
    armed | rests)
        [ -z "$restarted" ] || dm_alive || { echo "fired the router was restarted"; return 0; }
        dm_alive || dm_start || return 1
        if [ "$state" = rests ] && [ ! -f "$rec/part" ]; then
            echo "fired the undo is not over"
        elif [ "$left" -gt 0 ]; then
            [ "${split:--}" = - ] || state=moving
            echo "$state $((left / 100))"
        else
            echo "fired the undo is about to begin"
        fi ;;
    fired)
        default="the timer has died: some of it may not be undone"
        ! dm_alive || default="the undo is not over" # asked before the result is: a timer ends behind it
        echo "fired $(cat "$rec/result" 2>/dev/null || echo "$default")" ;;
    none | confirmed) echo "$state" ;;
    *) echo "the record $rec/state cannot be read" >&2; return 1 ;;
    esac
}

dm_arm_state() { # in $1: armed, with the deadline $2 seconds from now
    dm_now
    state=armed deadline=$((now + $2 * 100)) left=$(($2 * 100)) next= split=
    due=$deadline
    read -r boot </proc/sys/kernel/random/boot_id
    dm_write_state "$1"
}

# A timer looks again when it wakes: it is told of what comes earlier alone.
dm_write_due() {
    dm_write_state "$rec" || return 1
    was=$due due=$deadline
    [ "${split:--}" != 0 ] || due=$next
    left=$((due - now))
    [ "$due" -ge "$was" ] || { dm_stop; dm_start; }
}

dm_write_state() { # in $1: armed, or rests, as the variables have it; and what comes of it at the first of two deadlines (D1)
    if [ -n "$next" ]; then
        set -- "$1" "${to:--} $next $split"
    else
        set -- "$1" "$to"
    fi
    if [ -n "$next" ] && [ "$split" != - ]; then
        rest=$split
        [ -n "$limit" ] || [ "$from" -le "$rest" ] || rest=$from
        echo "rests $boot $next $rest ${to:--}" >"$1/rests.new" && dm_sync "$1/rests.new" &&
            mv -f "$1/rests.new" "$1/state.rests" || return 1
    fi
    echo "$state $boot $deadline $from $2" >"$1/state.new" && dm_sync "$1/state.new" && mv -f "$1/state.new" "$1/state" &&
        dm_sync "$1"
}

# From and to, as the variables have them (D1).
dm_write_limit() {
    [ -n "$limit" ] || { dm_write_state "$rec"; return; }
    [ "$limit" = "$rec/limit.$from.${to:--}" ] || mv -f "$limit" "$rec/limit.$from.${to:--}" && dm_sync "$rec"
}

# Standard input: for each step "@step DELAY KIND LINES PATHSPACE" and its lines; then "@end".
dm_take_steps() {
    awk -v d="$1" '
        want > 0 && !/^@/ { print > file; want--; next }
        want == 0 && /^@step [0-9]+ (ip|vtysh) [0-9]+ [A-Za-z0-9._-]+$/ {
            if (file) close(file)
            file = d "/" ++n; want = $4; printf "" > file
            print n, $2, $3, $5 > (d "/steps"); next
        }
        want == 0 && /^@end$/ { ended = 1; exit }
        { exit }
        END { exit !ended }' && [ -f "$1/steps" ]
}

# Another transaction's undo would fight with this one's.
dm_refuse_others() {
    mine=$rec
    for rec in "$dir"/*/; do
        rec=${rec%/}
        [ "$rec" != "$mine" ] || continue
        dm_load
        if dm_waits && [ -z "$restarted" ]; then
            echo "the undo of transaction ${rec##*/} is armed on this router, $((left / 100)) s left" >&2
        elif [ "$state" = fired ] && [ ! -f "$rec/result" ] && dm_alive; then
            echo "the undo of transaction ${rec##*/} is not over on this router" >&2
        else
            continue
        fi
        rec=$mine
        return 1
    done
    rec=$mine
}

# Keeps the last eight.
dm_forget_old() {
    ls -1 "$dir" | grep -v -e '^lock$' -e '\.new$' | sort | head -n -8 | while read -r old; do
        rm -rf "${dir:?}/$old"
    done
}

do_deadman_arm() { # ROUTER ID SECONDS [FROM]
    dm_enter "$1" "$2" || return 1
    umask 077
    mkdir -p "$dir" && : >>"$dir/lock" && dm_lock || return 1
    rm -rf "${dir:?}"/*.new # whose arming was cut off: no timer runs for it, nothing was written after it (D5)
    dm_refuse_others || return 1
    dm_load
    case $state in
    confirmed | fired | rests) dm_answer; return ;;
    armed) dm_stop ;; # asked twice: an answer was lost
    esac
    new=$rec.new from=${4:-0} to=
    rm -rf "$new" && mkdir "$new" || return 1
    dm_library >"$new/timer" && echo 'dm_timer "$1"' >>"$new/timer" &&
        echo confirmed >"$new/state.confirmed" && echo fired >"$new/state.fired" &&
        echo undone >"$new/part.undone" && echo undone >"$new/result.undone" && : >"$new/limit.$from.-" || return 1
    dm_take_steps "$new" || { echo "the undo did not arrive whole" >&2; rm -rf "$new"; return 1; }
    dm_sync "$new"/* && dm_arm_state "$new" "$3" && rm -rf "$rec" && mv "$new" "$rec" && dm_sync "$dir" || return 1
    if ! dm_start; then
        rm -rf "$rec"
        return 1
    fi
    dm_forget_old
    dm_answer
}

dm_with_record() { # ROUTER ID: says none where there is nothing
    dm_enter "$1" "$2" || return 1
    [ -e "$dir/lock" ] || { echo none; return 2; }
    dm_lock || return 1
    dm_load
}

# All of the undo, or what rests of it.
dm_is_to_come() {
    { [ "$state" = armed ] || { [ "$state" = rests ] && [ -f "$rec/part" ]; }; } && [ "$left" -gt 0 ]
}

do_deadman_look() { # ROUTER ID
    dm_with_record "$1" "$2" || return $(($? % 2))
    dm_answer
}

# Where what is left ($1) is not what the asker has seen ($2), give or take 5 s, this comes too late.
dm_seen() { [ "$2" = 0 ] || { [ $(($1 / 100)) -le $(($2 + 5)) ] && [ "$2" -le $(($1 / 100 + 5)) ]; }; }

do_deadman_extend() { # ROUTER ID SECONDS [SEEN]
    dm_with_record "$1" "$2" || return $(($? % 2))
    if [ "$state" = armed ] && [ "$left" -gt 0 ] && [ -z "$next" ] && dm_seen "$left" "${4:-0}"; then
        dm_arm_state "$rec" "$3" || return 1
        dm_stop
        dm_start || return 1
    fi
    dm_answer
}

# Of the steps only those with a delay of FROM and more, and less than TO (0: to the last one); TO only ever gets less.  What rests of
# an undo may begin later, not end earlier.
do_deadman_limit() { # ROUTER ID FROM TO
    dm_with_record "$1" "$2" || return $(($? % 2))
    if dm_is_to_come; then
        [ "$state" = rests ] && [ "$from" -gt "$3" ] || from=$3
        if [ "$state" = armed ] && [ "$4" -gt 0 ] && { [ -z "$to" ] || [ "$4" -lt "$to" ]; }; then
            to=$4
        fi
        dm_write_limit || return 1
    fi
    dm_answer
}

# A second deadline, later than the first one or earlier; every step stays with the first one.  While steps have moved to another
# one already it is none.
do_deadman_next() { # ROUTER ID SECONDS later|earlier
    dm_with_record "$1" "$2" || return $(($? % 2))
    if [ "$state" = armed ] && [ "$left" -gt 0 ] && { [ "${split:--}" = - ] || [ "$split$4" = 0earlier ]; }; then
        new=$((now + $3 * 100))
        if [ "$4" = later ]; then
            [ $new -ge $due ] || new=$due
            deadline=$due next=$new split=-
        else
            [ $new -le $due ] || new=$due
            deadline=$new next=$due split=0
        fi
        dm_write_due || return 1
    fi
    dm_answer
}

# Of two deadlines: steps of a delay of SPLIT and more are run after the later one.  What has gone over does not come back.
do_deadman_move() { # ROUTER ID SPLIT later|earlier
    dm_with_record "$1" "$2" || return $(($? % 2))
    if [ "$state" = armed ] && [ "$left" -gt 0 ] && [ -n "$next" ] && [ "$deadline" -gt "$now" ]; then
        if { [ "$4" = later ] && { [ "$split" = - ] || [ "$3" -lt "$split" ]; }; } ||
            { [ "$4" = earlier ] && [ "$split" != - ] && [ "$3" -gt "$split" ]; }; then
            split=$3
            dm_write_due || return 1
        fi
    fi
    dm_answer
}

# All steps have come to one of two deadlines: the other one goes.
do_deadman_settle() { # ROUTER ID later|earlier
    dm_with_record "$1" "$2" || return $(($? % 2))
    if [ "$state" = armed ] && [ "$left" -gt 0 ] && [ -n "$next" ]; then
        [ "$3" = earlier ] || deadline=$next
        next= split=
        dm_write_due || return 1
    fi
    dm_answer
}

do_deadman_confirm() { # ROUTER ID
    dm_with_record "$1" "$2" || return $(($? % 2))
    if [ "$state" = armed ] && [ "$left" -gt 0 ]; then # D2, D4
        dm_become confirmed || return 1
        dm_stop
    fi
    dm_answer
}

do_deadman_disarm() { # ROUTER ID
    dm_with_record "$1" "$2" || return $(($? % 2))
    if dm_is_to_come || { dm_waits && [ -n "$restarted" ]; }; then # which deadman_boot would run, however late it comes
        dm_become confirmed || return 1 # whatever keeps the rest from going: nothing fires any more
        dm_stop
        rm -rf "$rec"
    fi
    dm_answer
}

# When the router starts, once routing and network are up: what was armed is undone now.
do_deadman_boot() {
    eval "$(dm_library)"
    for rec in "$dm_base"/*/*/; do
        [ -f "$rec/state" ] || continue
        rec=${rec%/}
        [ "${rec%.new}" = "$rec" ] || continue # D5
        id=${rec##*/} router=${rec%/*}
        router=${router##*/}
        dm_place && dm_lock || continue
        dm_load
        ! dm_waits || dm_alive || dm_start
        dm_unlock
        echo "$router $id $state"
    done
}
