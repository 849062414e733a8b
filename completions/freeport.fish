# SPDX-License-Identifier: MIT
# fish completion for freeport(1)

# The command line from a verb's first operand on, an operand a line; nothing before it.
function __freeport_operands
    set -l words (commandline -opc)[3..]
    argparse --stop-nonopt h/help tcp= udp= sentinels= name= session= export=+ q/quiet audit report= report-fd= \
        report-format= sockname= connect= via= follow= timeout= segment= segment-mode= log= lenient config= \
        o/output= wait= k/kill-after= -- $words 2>/dev/null
    and test (count $argv) -gt 0
    and printf '%s\n' $argv
end

function __freeport_verb
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv; and not __freeport_operands >/dev/null
end

function __freeport_before_verb
    test (count (commandline -opc)) -eq 1
end

# The command of run and learn, and its own arguments.
function __freeport_command
    set -l operands (__freeport_operands)
    complete -C (string join ' ' -- (string escape -- $operands) (commandline -ct))
end

# What the table has in a column, for values that only the table knows.
function __freeport_column
    freeport list --raw --noheadings --output $argv 2>/dev/null | sort -u
end

# The names that the configuration file has sections for, and those in the table.
function __freeport_names
    set -l file ~/.config/freeport.ini
    set -q XDG_CONFIG_HOME; and set file $XDG_CONFIG_HOME/freeport.ini
    set -q FREEPORT_CONFIG; and set file $FREEPORT_CONFIG
    begin
        test -r "$file"; and string replace -fr '^\[(.*)\].*' '$1' <$file
        __freeport_column NAME
    end | sort -u
end

function __freeport_columns
    set -l before (string match -r '.*,' -- (commandline -ct))
    printf "$before%s\n" PROTO PORT SENTINEL NAME SESSION PID COMMAND STATE AGE ADDRESS DIRECTORY CMDLINE SINCE
end

complete -c freeport -f
complete -c freeport -n __freeport_before_verb -s h -l help -d 'Print help and exit'
complete -c freeport -n __freeport_before_verb -s V -l version -d 'Print the version and exit'
complete -c freeport -n __freeport_before_verb -a run -d 'Run a command in a session of its own'
complete -c freeport -n __freeport_before_verb -a get -d 'Print free ports, reserved for the shell that asks'
complete -c freeport -n __freeport_before_verb -a list -d 'List the servers'
complete -c freeport -n __freeport_before_verb -a url -d 'Print the address of a sentinel'
complete -c freeport -n __freeport_before_verb -a serve -d 'Hand out ports to programs that use portpicker'
complete -c freeport -n __freeport_before_verb -a stop -d 'End what runs in a session'
complete -c freeport -n __freeport_before_verb -a port -d 'Print the real port behind a sentinel'
complete -c freeport -n __freeport_before_verb -a release -d 'Give up a port'
complete -c freeport -n __freeport_before_verb -a reset -d 'Drop the state of a name'
complete -c freeport -n __freeport_before_verb -a env -d 'Print lines for a shell'
complete -c freeport -n __freeport_before_verb -a learn -d 'Find the ports that a command hard-codes'
complete -c freeport -n __freeport_before_verb -a doctor -d 'Check the host, the range and a program'

set -l every run get list port url stop serve release reset env learn doctor
set -l configured run get list port url stop serve release reset env doctor
set -l tabled run get list port url stop serve release reset doctor
set -l ranged run get serve doctor

complete -c freeport -n "__freeport_verb $every" -s h -l help -d 'Print help and exit'
complete -c freeport -n "__freeport_verb $configured" -l config -rF -d 'Configuration file'
complete -c freeport -n "__freeport_verb $tabled" -l segment -x -d 'Shared segment'
complete -c freeport -n "__freeport_verb $ranged" -l tcp -x -d 'TCP ports to assign'
complete -c freeport -n "__freeport_verb $ranged" -l udp -x -d 'UDP ports to assign'
complete -c freeport -n "__freeport_verb $ranged" -l name -xa '(__freeport_names)' -d 'Sequence to share'
complete -c freeport -n '__freeport_verb run' -l via -x -a 'auto preload seccomp' -d 'How programs are reached'
complete -c freeport -n '__freeport_verb run' -l follow -x -a 'yes no' -d 'Cleaned environments get the session back'
complete -c freeport -n '__freeport_verb run get serve' -l timeout -x -d 'Milliseconds to wait at most'
complete -c freeport -n '__freeport_verb run list port url' -l session -xa '(__freeport_column SESSION)' -d Session

complete -c freeport -n '__freeport_verb run doctor' -l sentinels -x -d 'Hard-coded ports to replace'
complete -c freeport -n '__freeport_verb run' -l export -x -d 'Set a variable to the real port'
complete -c freeport -n '__freeport_verb run' -s q -l quiet -d 'Do not say where servers are'
complete -c freeport -n '__freeport_verb run' -l audit -d 'List listeners that went past the shim'
complete -c freeport -n '__freeport_verb run' -l report -rF -d 'Append a line an assignment'
complete -c freeport -n '__freeport_verb run' -l report-fd -x -d 'The same to a descriptor'
complete -c freeport -n '__freeport_verb run' -l report-format -xa 'text json' -d 'Form of the report'
complete -c freeport -n '__freeport_verb run' -l sockname -xa 'virtual real' -d 'What programs see'
complete -c freeport -n '__freeport_verb run' -l connect -xa 'session fallthrough off' -d 'Where clients go'
complete -c freeport -n '__freeport_verb run' -l segment-mode -x -d 'Octal permissions of a new segment'
complete -c freeport -n '__freeport_verb run' -l log -xa 'quiet error warn info debug' -d 'What to say'
complete -c freeport -n '__freeport_verb run' -l lenient -d 'Take a range that can\'t be read for 1-65535'

complete -c freeport -n '__freeport_verb get' -s n -l count -x -d 'How many'
complete -c freeport -n '__freeport_verb get' -a 'tcp udp'

complete -c freeport -n '__freeport_verb list' -s a -l all -d 'List ports that nothing holds, too'
complete -c freeport -n '__freeport_verb list' -s J -l json -d 'Print JSON'
complete -c freeport -n '__freeport_verb list' -s r -l raw -d 'Print fields with one space between'
complete -c freeport -n '__freeport_verb list' -s n -l noheadings -d 'Print no column heads'
complete -c freeport -n '__freeport_verb list' -s o -l output -xa '(__freeport_columns)' -d 'Columns to print'
complete -c freeport -n '__freeport_verb list' -s f -l follow -d 'Print new assignments as they come'

complete -c freeport -n '__freeport_verb port url' -l wait -x -d 'Seconds to wait at most'
complete -c freeport -n '__freeport_verb stop' -s k -l kill-after -x -d 'Seconds before KILL'
complete -c freeport -n '__freeport_verb stop' -a '(__freeport_column SESSION)'
complete -c freeport -n '__freeport_verb port url' -a '(__freeport_column SENTINEL)'
complete -c freeport -n '__freeport_verb release' -a 'tcp udp (__freeport_column PORT)'
complete -c freeport -n '__freeport_verb reset' -l force -d 'Also what processes have that are there'
complete -c freeport -n '__freeport_verb reset' -a '(__freeport_column NAME)'
complete -c freeport -n '__freeport_verb env' -a '(__freeport_names)'
complete -c freeport -n '__freeport_verb learn' -s o -l output -rF -d 'Write there'

# The command of run, learn and doctor comes last, so that its own options are not taken for freeport's.
complete -c freeport -n 'contains -- (commandline -opc)[2] run learn doctor' -a '(__freeport_command)'
