# Bash completion for ferry: `ferry __complete` knows everything.  SPDX-License-Identifier: MIT
_ferry() {
    local line=${COMP_LINE:0:COMP_POINT} candidates
    local current=${line##*[[:space:]]}
    candidates=$("${COMP_WORDS[0]}" __complete "$line" 2>/dev/null) || return
    if [[ $candidates == '<files>' ]]; then
        [[ $current == --*=* ]] && current=${current#--*=}
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    mapfile -t COMPREPLY < <(printf '%s' "$candidates")
    # Bash parts words at = and :, and wants only what follows the last of them.
    local typed=${current%"${current##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"$typed"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -F _ferry ferry
