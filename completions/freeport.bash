# SPDX-License-Identifier: MIT
# bash completion for freeport(1). Needs nothing of bash-completion's, but uses it for the command behind run.

# The options of a verb.
_freeport_options() {
    case $1 in
        run)
            echo --tcp --udp --sentinels --name --session --export -q --quiet --audit --report --report-fd \
                --report-format --sockname --connect --via --follow --timeout --segment-mode --log --lenient \
                --config --segment
            ;;
        get) echo --tcp --udp --name -n --count --timeout --config --segment ;;
        list) echo -a --all --session -J --json -r --raw -n --noheadings -o --output -f --follow --config --segment ;;
        port | url) echo --session --wait --config --segment ;;
        serve) echo --tcp --udp --name --timeout --config --segment ;;
        stop) echo -k --kill-after --config --segment ;;
        release) echo --config --segment ;;
        reset) echo --force --config --segment ;;
        env) echo --config ;;
        learn) echo -o --output ;;
        doctor) echo --tcp --udp --sentinels --name --config --segment ;;
    esac
    echo -h --help
}

# What the table has in a column, for values that only the table knows.
_freeport_column() {
    "${COMP_WORDS[0]}" list --raw --noheadings --output "$1" 2>/dev/null | sort -u
}

# The names that the configuration file has sections for, and those in the table.
_freeport_names() {
    sed -n 's/^\[\(.*\)\].*/\1/p' "${FREEPORT_CONFIG-${XDG_CONFIG_HOME:-$HOME/.config}/freeport.ini}" 2>/dev/null
    _freeport_column NAME
}

# The values of an option, of which the current word is the beginning of one. False where it takes none.
_freeport_value() {
    local verb=$1 option=$2 current=$3
    case $verb$option in
        list--output | list-o)
            local before='' columns="PROTO PORT SENTINEL NAME SESSION PID COMMAND STATE AGE ADDRESS DIRECTORY CMDLINE SINCE"
            [[ $current != *,* ]] || before=${current%,*},
            COMPREPLY=($(compgen -P "$before" -W "$columns" -- "${current##*,}"))
            compopt -o nospace
            ;;
        *--report | *--config | learn--output | learn-o) COMPREPLY=($(compgen -f -- "$current")) ;;
        *--report-format) COMPREPLY=($(compgen -W "text json" -- "$current")) ;;
        *--sockname) COMPREPLY=($(compgen -W "virtual real" -- "$current")) ;;
        *--connect) COMPREPLY=($(compgen -W "session fallthrough off" -- "$current")) ;;
        *--via) COMPREPLY=($(compgen -W "auto preload seccomp" -- "$current")) ;;
        run--follow) COMPREPLY=($(compgen -W "yes no" -- "$current")) ;;
        *--log) COMPREPLY=($(compgen -W "quiet error warn info debug" -- "$current")) ;;
        *--session) COMPREPLY=($(compgen -W "$(_freeport_column SESSION)" -- "$current")) ;;
        *--name) COMPREPLY=($(compgen -W "$(_freeport_names | sort -u)" -- "$current")) ;;
        *--tcp | *--udp | *--sentinels | *--export | *--report-fd | *--timeout | *--segment | *--segment-mode) ;;
        get--count | get-n | *--wait | *--kill-after | stop-k) ;;
        *) return 1 ;;
    esac
}

# Where the verb's first operand stands, at the latest the current word.
_freeport_operand() {
    local verb=$1 i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) break ;;
            -*)
                local COMPREPLY=()
                if [[ ${COMP_WORDS[i + 1]} == = ]]; then
                    ((i += 2))
                elif _freeport_value "$verb" "${COMP_WORDS[i]}" "" 2>/dev/null; then
                    ((i++))
                fi
                ;;
            *) break ;;
        esac
    done
    [[ ${COMP_WORDS[i]} != -- || $i -eq $COMP_CWORD ]] || ((i++))
    echo "$i"
}

_freeport() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} operand
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "run list url port stop get serve release reset env learn doctor -h --help -V --version" \
            -- "$current"))
        return
    fi
    # --option=value comes as three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    operand=$(_freeport_operand "$verb")
    if ((operand >= COMP_CWORD)); then
        if [[ $previous != -- ]] && _freeport_value "$verb" "$previous" "$current"; then return; fi
        if [[ $previous != -- && $current == -* ]]; then
            COMPREPLY=($(compgen -W "$(_freeport_options "$verb")" -- "$current"))
            return
        fi
    fi

    case $verb in
        run | learn | doctor)
            if ((operand == COMP_CWORD)); then
                COMPREPLY=($(compgen -c -- "$current"))
            elif declare -F _command_offset >/dev/null; then
                _command_offset "$operand"
            else
                compopt -o default
            fi
            ;;
        get) COMPREPLY=($(compgen -W "tcp udp" -- "$current")) ;;
        release) COMPREPLY=($(compgen -W "tcp udp $(_freeport_column PORT)" -- "$current")) ;;
        port | url) COMPREPLY=($(compgen -W "$(_freeport_column SENTINEL)" -- "$current")) ;;
        stop) COMPREPLY=($(compgen -W "$(_freeport_column SESSION)" -- "$current")) ;;
        env) COMPREPLY=($(compgen -W "$(_freeport_names | sort -u)" -- "$current")) ;;
        reset) COMPREPLY=($(compgen -W "$(_freeport_column NAME)" -- "$current")) ;;
    esac
}

complete -F _freeport freeport
