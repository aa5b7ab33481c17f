# fence.sh: who may write on this router now, and that nothing which an older connection has left behind still does.
#
#   /run/ferry-router/NET/   NET: the number of the network namespace, for that is the router.  Not root: /tmp/ferry-router-UID/NET
#       claim    "TOKEN OWNER SINCE": the newest claim; OWNER: a controller's state directory; SINCE: seconds since the boot
#       lock     held shared by every process that carries the claim's token, as long as it lives, whatever it has started
#       door     held by whoever claims or releases
#       members  PGID, in each the birth of that process: who to kill
#
#  F1. A process that carries a token runs its verb only where the lock is its own and the token is the newest claim's.
#  F2. A claim counts once the lock was held alone: then nothing of an older one runs any more, and nothing that is still on its
#      way will run (F1).
#  F3. Of another owner nothing is taken away while it lives.  Of the same owner it is: one transaction a state directory.
#  F4. Nothing here outlives a restart of the router, as no connection does.

fence_place() {
    command -v flock >/dev/null 2>&1 || { fence_why='it has no flock'; return 1; }
    fence_dir=/run/ferry-router
    [ -w /run ] || fence_dir=/tmp/ferry-router-$(id -u)
    fence_net=$(readlink /proc/self/ns/net) || { fence_why='its network namespace has no number'; return 1; }
    fence_net=${fence_net#*[}
    fence_dir=$fence_dir/${fence_net%]}
}

fence_make() {
    mkdir -p "$fence_dir/members" 2>/dev/null && : >>"$fence_dir/lock" && : >>"$fence_dir/door" &&
        [ -O "${fence_dir%/*}" ] && [ ! -L "${fence_dir%/*}" ] && [ -O "$fence_dir" ] && return 0
    fence_why="${fence_dir%/*} cannot be written, or is somebody else's"
    return 1
}

# fence_born: what a process cannot share with a later one of its number; fence_group: its process group.
fence_birth() { # PID
    fence_born=
    read -r fence_born 2>/dev/null <"/proc/$1/stat" || return 1
    fence_born=${fence_born##*) }
    # shellcheck disable=SC2086
    set -- $fence_born
    fence_born=${20} fence_group=$3
}

# token, owner, since; all empty where nobody claims.
fence_load() {
    fence_token= fence_owner= fence_since=
    [ ! -f "$fence_dir/claim" ] || read -r fence_token fence_owner fence_since <"$fence_dir/claim"
}

fence_now() {
    read -r fence_now _ </proc/uptime
    fence_now=${fence_now%.*}
}

# Descriptor 8 is the lock; whatever is started for longer than the connection must close it.
fence_enter() { # TOKEN
    fence_place || ferry_refuse "nobody can claim this router: $fence_why"
    [ -r "$fence_dir/lock" ] || ferry_refuse 'the claim of this connection is gone: nothing was run'
    exec 8<"$fence_dir/lock"
    ferry_flock -s 8 || ferry_refuse 'the lock of the claims is not to be had: nothing was run'
    fence_load
    [ "$fence_token" = "$1" ] || ferry_refuse 'another connection of Ferry has claimed this router since: nothing was run'
    fence_birth "$$" && { fence_birth "$fence_group" || fence_birth "$$"; } &&
        echo "$fence_born" >"$fence_dir/members/$fence_group" || ferry_refuse 'the claim cannot be joined: nothing was run'
}

# Leftovers, whose connection may be gone, or not know yet that it is.
fence_kill() {
    fence_birth "$$"
    fence_mine=$fence_group
    for fence_member in "$fence_dir"/members/*; do
        fence_pid=${fence_member##*/}
        [ -f "$fence_member" ] && [ "$fence_pid" != "$fence_mine" ] && read -r fence_known <"$fence_member" || continue
        if fence_birth "$fence_pid" && [ "$fence_born" = "$fence_known" ]; then
            kill -s KILL -- "-$fence_pid" 2>/dev/null || kill -s KILL "$fence_pid" 2>/dev/null
            fence_killed=yes
        fi
    done
}

# Answers, one line: "claimed", "held OWNER SECONDS" (since when), "unfenced WHY".
do_claim() { # OWNER TOKEN
    fence_place && fence_make || { echo "unfenced $fence_why"; return 0; }
    exec 7<"$fence_dir/door" 8<"$fence_dir/lock"
    ferry_flock 7 || { echo 'somebody else is claiming this router' >&2; return 1; }
    fence_load
    fence_now
    if [ -n "$fence_token" ] && [ "$fence_owner" != "$1" ]; then # F3; a new claim has no process yet
        fence_age=$((fence_now - fence_since)) # less than nothing: from before a restart (F4), where /tmp outlives one
        if [ "$fence_age" -ge 0 ] && [ "$fence_age" -lt 3 ] || ! flock -n 8; then
            echo "held $fence_owner $fence_age"
            return 0
        fi
    fi
    echo "$2 $1 $fence_now" >"$fence_dir/claim.new" && mv -f "$fence_dir/claim.new" "$fence_dir/claim" || return 1
    fence_tries=0 fence_killed=
    until flock -n 8; do # F2
        fence_kill
        fence_tries=$((fence_tries + 1))
        [ $fence_tries -le 60 ] || { echo 'what an older connection has left behind does not end' >&2; return 1; }
        sleep 0.1 2>/dev/null || sleep 1
    done
    # What a daemon was told by a vtysh that is dead it does within milliseconds.
    [ -z "$fence_killed" ] || sleep 0.3 2>/dev/null || sleep 1
    rm -f "$fence_dir"/members/*
    exec 7<&- 8<&-
    echo claimed
}

do_release() { # TOKEN
    fence_place && [ -r "$fence_dir/door" ] || return 0
    exec 7<"$fence_dir/door"
    ferry_flock 7 || return 1
    fence_load
    [ "$fence_token" != "$1" ] || rm -f "$fence_dir/claim"
}
