# shellcheck shell=bats disable=SC2016
# SPDX-License-Identifier: MIT
# Completion in bash, zsh and fish: each shell really completes, and offers the options that --help has.

load helper

COMPLETIONS=$BATS_TEST_DIRNAME/../../completions

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/home"
    ln -s "$FREEPORT_CLI" "$BATS_TEST_TMPDIR/bin/freeport"
    configure PATH="$BATS_TEST_TMPDIR/bin:$PATH" HOME="$BATS_TEST_TMPDIR/home" LC_ALL=C.UTF-8
}

# verbs: as the help lists them, between its first two empty lines, sorted.
verbs() { freeport --help | awk '/^$/ { part++ } part == 1 && /^  [a-z]/ { print $1 }' | sort; }

# options VERB: as its help has them, and the two that every verb has, sorted.
options() {
    {
        freeport "$1" --help | grep -oE '^  -[-A-Za-z]+(, -[-A-Za-z]+)*' | grep -oE -- '-[-A-Za-z]+'
        printf '%s\n' -h --help
    } | sort -u
}

# {bash,fish,zsh}_completes WORD...: what the shell offers for the last word, one a line.
bash_completes() {
    bash --norc -c '
        source "$0"/freeport.bash
        COMP_WORDS=(freeport "$@") COMP_CWORD=$#
        _freeport 2>/dev/null # compopt is none of a script
        printf "%s\n" "${COMPREPLY[@]}"' "$COMPLETIONS" "$@"
}

fish_completes() {
    fish -c 'source $argv[1]/freeport.fish; complete -C (string join " " -- freeport $argv[2..])' "$COMPLETIONS" "$@" |
        cut -f 1
}

# zsh has no way to ask outside of its line editor: so a terminal, in which a key is pressed that shows the line.
zsh_completes() {
    timeout "$PATIENCE" zsh -f -c '
        zmodload zsh/zpty
        zpty editor zsh -f -i
        zpty -w editor "PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; setopt noautolist
            show() { print; print -r -- \"LINE=\$BUFFER=\"; exit }; zle -N show; bindkey \"^X\" show
            print READY-\$SHLVL"
        zpty -r editor line "*READY-<0->*"
        zpty -w -n editor "$2"$'"'\t\C-x'"'
        zpty -r editor line "*LINE=*=*"
        print -r -- ${${line#*LINE=}%%=*}' zsh "$COMPLETIONS" "freeport $*"
}

# The specifications that _arguments is given for a verb, as options.
zsh_options() {
    zsh -f -c '
        _arguments() { if [[ $* = *"->rest"* ]] { state=rest } else { print -rl -- "$@" } }
        words=($2)
        source $1/_freeport' zsh "$COMPLETIONS" "$1" |
        sed -nE 's/^(\([^)]*\))?\*?(--?[A-Za-z-]+)[=+]?\[.*/\2/p' | sort
}

@test "every verb, and what begins like one" {
    for shell in bash fish; do
        assert_equal "$shell: $("${shell}_completes" '' | grep -v '^-' | sort)" "$shell: $(verbs)"
        assert_equal "$("${shell}_completes" re | sort)" "$(printf '%s\n' release reset)"
    done
    needs_terminals # zsh does
    assert_equal "$(zsh_completes rel)" "freeport release "
    run -0 zsh -f -c '_arguments() { state=verb }; _describe() { print -l ${verbs%%:*} }; source $1/_freeport' \
        zsh "$COMPLETIONS"
    assert_equal "$(sort <<<"$output")" "$(verbs)"
}

@test "the options of every verb are those of its help" {
    [[ $(verbs | wc -l) -ge 5 ]]
    for verb in $(verbs); do
        expected="$verb: $(options "$verb")"
        assert_equal "$verb: $(bash_completes "$verb" - | sort)" "$expected"
        assert_equal "$verb: $(fish_completes "$verb" - | sort)" "$expected"
        assert_equal "$verb: $(zsh_options "$verb")" "$expected"
    done
}

@test "an option's values: words, columns, what the table has" {
    for shell in bash fish; do
        assert_equal "$("${shell}_completes" run --log q)" quiet
        assert_equal "$("${shell}_completes" run --report-format '' | sort | paste -sd' ')" "json text"
        assert_equal "$("${shell}_completes" list -o PORT,SE)" $'PORT,SENTINEL\nPORT,SESSION'
    done
    needs_terminals # zsh does
    assert_equal "$(zsh_completes run --log q)" "freeport run --log quiet "
    assert_equal "$(zsh_completes list -o PORT,ADD)" "freeport list -o PORT,ADDRESS "
    # A value is what getopt_long takes for one, behind = as well; bash hands that on as a word of its own.
    assert_equal "$(bash_completes run --connect = fall)" fallthrough

    background server freeport run --tcp "$(own_range)" --sentinels 8421 --session violet --report - \
        /usr/bin/python3 -m http.server 8421 --bind 127.0.0.1
    wait_lines "$BATS_TEST_TMPDIR/server.log" 1
    for shell in bash fish; do
        assert_equal "$("${shell}_completes" port --session vi)" violet
        assert_equal "$("${shell}_completes" port 84)" 8421
    done
    assert_equal "$(zsh_completes port --session vi)" "freeport port --session violet "
}

@test "names: the sections of the configuration file" {
    printf '[amber] ; a comment\ntcp = 20000-20010\n\n[azure]\n' >"$BATS_TEST_TMPDIR/ini"
    configure FREEPORT_CONFIG="$BATS_TEST_TMPDIR/ini"
    for shell in bash fish; do
        assert_equal "$("${shell}_completes" env a)" $'amber\nazure'
        assert_equal "$("${shell}_completes" run --name am)" amber
    done
    needs_terminals # zsh does
    assert_equal "$(zsh_completes env am)" "freeport env amber "
    assert_equal "$(zsh_completes run --name az)" "freeport run --name azure "
    # Without a file there are none, and no complaint.
    configure FREEPORT_CONFIG="$BATS_TEST_TMPDIR/none"
    for shell in bash fish; do assert_equal "$("${shell}_completes" env a 2>&1)" ""; done
}

@test "the command behind run, and its own options" {
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/bin/fp-example-program"
    chmod +x "$BATS_TEST_TMPDIR/bin/fp-example-program"
    for shell in bash fish; do
        assert_equal "$("${shell}_completes" run fp-exam)" fp-example-program
        assert_equal "$("${shell}_completes" run --tcp 1000-2000 --audit -- fp-exam)" fp-example-program
        # From here on, the line is the command's.
        run "${shell}_completes" run fp-example-program --ses
        refute_output --partial session
    done
    assert_equal "$(fish_completes run ls --almost)" --almost-all
    needs_terminals # zsh does
    assert_equal "$(zsh_completes run fp-exam)" "freeport run fp-example-program "
    # bash-completion knows other commands: it is asked where the command begins.
    assert_equal "$(bash -c '_command_offset() { echo "offset $1"; }; source "$0"/freeport.bash
        COMP_WORDS=(freeport run --tcp 1-2 -- make che) COMP_CWORD=6; _freeport' "$COMPLETIONS")" "offset 5"
}

@test "they are installed where the shells look" {
    cmake --install "$FREEPORT_BUILD" --prefix "$BATS_TEST_TMPDIR/usr" >/dev/null
    for file in bash-completion/completions/freeport zsh/site-functions/_freeport \
        fish/vendor_completions.d/freeport.fish; do
        [[ -s $BATS_TEST_TMPDIR/usr/share/$file ]] || fail "$file is not installed"
    done
}
