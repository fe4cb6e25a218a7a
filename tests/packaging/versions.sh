#!/usr/bin/env bash
# The runtime's tests on the built wheel, with the oldest and the newest versions that
# pyproject.toml admits, outside the source tree: versions.sh [JOB]...
#
#     lowest         Python 3.11, each dependency of the runtime and the monitor at its lower bound
#     3.11 ... 3.14  that Python, each dependency at its newest release
#     workstation    Python 3.11, every extra of users at its lower bounds: the tests of training, export,
#                    archives, the estimator and the monitor's outlets. PyTorch's old releases have no
#                    small CPU build: 3 GB to download
#     quick          no test suite: the base install at its lower bounds on Python 3.11 and at its
#                    newest on the newest Python here scores the examples. For .ci/run
#
# Without a job: lowest, and each Python that is on PATH or that pyenv has. The wheel is that in
# dist/, from tests/packaging/wheels.sh, built anew if a source is newer. Environment: PYTHON with the
# development extras (it makes the bundle that the tests score with), PYTEST_ARGS.
set -euo pipefail
cd "$(dirname "$0")/../.."
source=$PWD
host_python=$(command -v "${PYTHON:-.venv/bin/python}")
work=$PWD/build/versions
references=('pytest>=8' 'hypothesis>=6.100' 'librosa>=0.10.2' scipy scikit-learn setuptools)
. tests/packaging/runtime_tests.sh

say() { printf '\n== %s\n' "$*"; }

python_of() { # the interpreter of a version such as 3.12, or nothing
    local candidate
    for candidate in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        # pyenv puts a script on PATH for versions that are not in use, which fails.
        if [ -x "$candidate" ] && "$candidate" -c '' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

uv() {
    if [ ! -x "$work/tools/bin/uv" ]; then
        "$host_python" -m venv "$work/tools"
        "$work/tools/bin/pip" install --quiet --disable-pip-version-check uv
    fi
    "$work/tools/bin/uv" --quiet "$@"
}

stale() { # whether a file is missing, or older than what it is made of
    [ ! -e "$1" ] || [ -n "$(find "$source"/{asd_edge,training,export,csrc,setup.py,pyproject.toml} \
        -newer "$1" -type f -not -name '*.pyc' -not -name '*.so' -print -quit)" ]
}

wheel() {
    local found=("$source"/dist/asd_edge-*_x86_64.whl)
    ! stale "${found[0]}" || NO_ARM64=1 PYTHON=$host_python tests/packaging/wheels.sh >&2 || return
    echo "$source"/dist/asd_edge-*_x86_64.whl
}

# install NAME PYTHON RESOLUTION EXTRAS PACKAGE...: a fresh environment build/versions/NAME with the
# wheel in it, and packages that the tests need; EXTRAS are separated by commas
install() {
    local name=$1 python=$2 resolution=$3 extras wheel
    IFS=, read -ra extras <<<"$4"
    shift 4
    wheel=$(wheel)
    local requirements=$work/$name.txt
    mkdir -p "$work"
    uv pip compile --python "$python" --resolution "$resolution" "${extras[@]/#/--extra=}" \
        --output-file "$requirements" pyproject.toml
    rm -rf "${work:?}/$name"
    "$python" -m venv "$work/$name"
    # The references of the tests may be as new as the versions under test admit.
    "$work/$name/bin/pip" install --quiet --disable-pip-version-check --no-compile \
        --requirement "$requirements" "$@"
    "$work/$name/bin/pip" install --quiet --disable-pip-version-check --no-deps "$wheel"
    # What pyproject.toml names, without what these need.
    awk '/==/ { pin = $1 } /asd-edge \(pyproject.toml\)/ { print pin }' "$requirements" |
        paste -sd' ' | fold -sw 100
}

# check NAME TEST...: pytest in a copy of tests/ that has no package beside it
check() {
    local name=$1 folder
    shift
    folder=$(mktemp -d)
    cp -r tests docs pyproject.toml "$folder"
    cd "$folder"
    # shellcheck disable=SC2086
    PYTHONSAFEPATH=1 ASD_EDGE_RECORDINGS='' "$work/$name/bin/python" -m pytest -q -p no:cacheprovider \
        "$@" ${PYTEST_ARGS:-}
    [ "$("$work/$name/bin/python" -P -c 'import asd_edge; print(asd_edge.__file__)')" = \
        "$(echo "$work/$name"/lib/python3.*/site-packages/asd_edge/__init__.py)" ]
    "$work/$name/bin/asd-edge" --version
    cd "$source"
    rm -rf "$folder"
}

# use NAME: the commands of an environment, from a folder that has no package beside it
use() {
    local bin=$work/$1/bin folder
    folder=$(mktemp -d)
    cd "$folder"
    "$bin/asd-edge" --version
    "$bin/asd-edge" score --example | tee scores.txt
    grep -q 'faulty.flac .*ANOMALOUS' scores.txt
    grep -q 'normal.flac .* normal$' scores.txt
    "$bin/asd-edge" verify
    "$bin/python" -P -m asd_edge info --support >support.txt
    ! grep 'is unknown' support.txt
    cd "$source"
    rm -rf "$folder"
}

# add_extra NAME: what the message about a missing extra says to do, does it
add_extra() {
    local bin=$work/$1/bin folder said
    folder=$(mktemp -d)
    cd "$folder"
    local draw=("$bin/asd-edge" explain "$source/asd_edge/data/examples/faulty.flac" -o why.png)
    if said=$("${draw[@]}" 2>&1); then echo "matplotlib is there already" >&2 && return 1; fi
    said=${said##*to install it: }
    say "$said"
    bash -c "$said --quiet --disable-pip-version-check"
    "${draw[@]}"
    [ -s why.png ]
    cd "$source"
    rm -rf "$folder"
}

recorded_bundle() { # a bundle for the tests, which PyTorch made elsewhere
    if stale "$work/recorded/hummer.asd"; then
        ASD_EDGE_RECORDED=$work/recorded "$host_python" -m pytest -q -p no:cacheprovider \
            tests/arm64/on_host.py >/dev/null
    fi
    echo "$work/recorded/hummer.asd"
}

jobs=("$@")
[ $# -gt 0 ] || jobs=(lowest 3.11 3.12 3.13 3.14)
ran=()
for job in "${jobs[@]}"; do
    case $job in lowest | workstation | quick) version=3.11 ;; *) version=$job ;; esac
    python=$(python_of "$version")
    if [ -z "$python" ]; then
        say "$job: Python $version is not on this machine; not tested"
        continue
    fi
    say "$job: $("$python" --version)"
    case $job in
        workstation)
            install "$job" "$python" lowest-direct \
                cluster,export,mlflow,monitor,notify,sklearn,tensorboard \
                "${references[@]}" flask flask-cors 'moto[s3]>=5'
            check "$job" tests/training tests/export tests/test_end_to_end.py \
                tests/monitor/test_{notify,mqtt,web,extras}.py tests/bundle tests/enrolment tests/explanation
            ;;
        quick)
            install quick-lowest "$python" lowest-direct ''
            use quick-lowest
            for version in 3.14 3.13 3.12 3.11; do
                python=$(python_of "$version")
                [ -z "$python" ] || break
            done
            install quick-newest "$python" highest ''
            use quick-newest
            add_extra quick-newest
            ;;
        lowest)
            install "$job" "$python" lowest-direct monitor "${references[@]}"
            check "$job" "${runtime_tests[@]}" --tiny-bundle "$(recorded_bundle)"
            ;;
        *)
            install "$job" "$python" highest monitor "${references[@]}"
            check "$job" "${runtime_tests[@]}" --tiny-bundle "$(recorded_bundle)"
            ;;
    esac
    ran+=("$job")
done
say "passed: ${ran[*]}"
