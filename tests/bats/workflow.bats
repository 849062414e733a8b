# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# .github/workflows/ci.yml names scripts that are here, and what they are given is what they take. The scripts
# themselves are run by whoever lands a change (.ci/run) or releases a version (.ci/releases, .ci/processor).

load helper

SOURCE=$BATS_TEST_DIRNAME/../..

# commands: each command of the workflow with each value of its matrix, a line each.
commands() {
    /usr/bin/python3 - "$SOURCE/.github/workflows/ci.yml" <<'PYTHON'
import itertools
import sys

import yaml

with open(sys.argv[1]) as file:
    jobs = yaml.safe_load(file)["jobs"]
for job in jobs.values():
    matrix = job.get("strategy", {}).get("matrix", {})
    for values in itertools.product(*matrix.values()):
        for step in job["steps"]:
            command = step.get("run", "")
            for name, value in zip(matrix, values):
                command = command.replace("${{ matrix.%s }}" % name, value)
            if command:
                print(command)
PYTHON
}

setup() {
    freeport_setup
    /usr/bin/python3 -c 'import yaml' 2>/dev/null || skip "needs python3-yaml"
}

@test "each script that the workflow runs is here, and is a program" {
    run -0 commands
    scripts=$(grep -o '\.ci/[a-z]*' <<<"$output" | sort -u)
    assert_equal "$(xargs <<<"$scripts")" ".ci/processor .ci/releases .ci/run"
    for script in $scripts; do [[ -x $SOURCE/$script ]] || fail "$script is no program"; done
    refute_output --partial '{{'
}

@test "each processor of the workflow has a toolchain file, and each toolchain file that is no host's own a processor" {
    run -0 commands
    named=$(sed -n 's|.*\.ci/processor ||p' <<<"$output" | sort)
    files=$(cd "$SOURCE/cmake/toolchains" && printf '%s\n' *.cmake | sed 's/\.cmake$//' | grep -vxE 'musl|i386')
    assert_equal "$named" "$files"
    # Each is one that the script takes: what it does not know it refuses with 2, before it installs anything.
    run -2 "$SOURCE/.ci/processor" vax
    for processor in $named; do grep -q "^    $processor) " "$SOURCE/.ci/processor" || fail "$processor"; done
}

@test "the releases of the workflow are those that .ci/releases takes by itself" {
    run -0 commands
    assert_equal "$(sed -n 's|.*\.ci/releases [^ ]* ||p' <<<"$output" | xargs)" \
        "$(sed -n 's/.*|| set -- \(.*\)/\1/p' "$SOURCE/.ci/releases")"
}
