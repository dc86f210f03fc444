# Completions of tgmtool for bash. Written by python -m tgmtool.cli.reference; do not edit.

_tgmtool_words() { # WORDS TYPED
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$1" -- "$2")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]]; then compopt -o nospace 2>/dev/null; fi
}

_tgmtool_files() { # any|tgm|directory TYPED
    local name found=
    compopt -o filenames 2>/dev/null
    if [[ $1 == tgm ]]; then
        while IFS= read -r name; do
            COMPREPLY+=("$name")
            found=yes
        done < <(compgen -f -X '!*.tgm' -- "$2")
    fi
    if [[ $1 == directory || -n $found ]]; then
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -d -- "$2")
    else
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$2")
    fi
}

_tgmtool() {
    local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} equals='' command='' files='' i
    COMPREPLY=()
    if [[ $typed == = ]]; then
        typed='' equals='='
    elif [[ $before == = && COMP_CWORD -ge 2 ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} equals='='
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) files=yes ;;
            --color) ((i++)) ;;
            encode|tail|scan|validate|backfill|cat-remote|pipe) [[ -n $command ]] || command=${COMP_WORDS[i]} ;;
        esac
    done
    if [[ -z $files ]]; then
        case "$command $before$equals" in
            'tail --follow=') _tgmtool_words 'name descriptor' "$typed"; return ;;
        esac
        case "$command $before" in
            ' --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'encode -o'|'encode --output') _tgmtool_files tgm "$typed"; return ;;
            'encode --from') _tgmtool_words 'auto npy npz raw framed csv json netcdf zarr grib tgm' "$typed"; return ;;
            'encode --group') _tgmtool_words 'all file' "$typed"; return ;;
            'encode --meta') _tgmtool_files any "$typed"; return ;;
            'encode --encoding') _tgmtool_words 'none simple_packing' "$typed"; return ;;
            'encode --filter') _tgmtool_words 'none shuffle' "$typed"; return ;;
            'encode --compression') _tgmtool_words 'none zstd lz4 szip blosc2 zfp sz3 rle roaring' "$typed"; return ;;
            'encode --descriptor') _tgmtool_files any "$typed"; return ;;
            'encode --layout') _tgmtool_words 'auto buffered streaming' "$typed"; return ;;
            'encode --commit') _tgmtool_words 'inplace rename sentinel' "$typed"; return ;;
            'encode --fsync') _tgmtool_words 'none object message close' "$typed"; return ;;
            'encode --end') _tgmtool_words 'auto marker inline none' "$typed"; return ;;
            'encode --mode') _tgmtool_words 'append replace' "$typed"; return ;;
            'encode --ack') _tgmtool_files any "$typed"; return ;;
            'encode --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'encode --dtype'|'encode --shape'|'encode --split-axis'|'encode --name'|'encode --dims'|'encode -s'|'encode --set'|'encode --extra'|'encode --variable'|'encode --bits'|'encode --error-bound'|'encode --convert'|'encode --compression-level'|'encode --param'|'encode --nan-mask-method'|'encode --pos-inf-mask-method'|'encode --neg-inf-mask-method'|'encode --small-mask-threshold'|'encode --pace'|'encode --id'|'encode --chan'|'encode --sender'|'encode --in-reply-to'|'encode --note'|'encode --error'|'encode --code'|'encode --max-messages'|'encode --max-bytes'|'encode --window'|'encode --backpressure-timeout'|'encode -J'|'encode --jobs'|'encode --max-cbor-bytes'|'encode --max-cbor-depth'|'encode --max-cbor-items'|'encode --max-ndim'|'encode --max-objects'|'encode --max-decoded-bytes'|'encode --max-retained-bytes'|'encode --max-senders') return ;;
            'tail --watch') _tgmtool_words 'auto off' "$typed"; return ;;
            'tail --until-exists') _tgmtool_files any "$typed"; return ;;
            'tail --unit') _tgmtool_words 'object message frame' "$typed"; return ;;
            'tail --from') _tgmtool_words 'start end offset:' "$typed"; return ;;
            'tail --commit') _tgmtool_words 'rename sentinel' "$typed"; return ;;
            'tail --state') _tgmtool_files any "$typed"; return ;;
            'tail --ack') _tgmtool_files any "$typed"; return ;;
            'tail --format') _tgmtool_words 'table tsv csv ndjson json' "$typed"; return ;;
            'tail --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'tail -n'|'tail --last'|'tail -s'|'tail --sleep'|'tail --pid'|'tail --while'|'tail --until'|'tail --count'|'tail --idle-timeout'|'tail --reconnect-timeout'|'tail --timeout'|'tail --wait-for'|'tail --chan'|'tail --producers'|'tail --state-every'|'tail --ack-sender'|'tail -w'|'tail --where'|'tail -p'|'tail --keys'|'tail -P'|'tail --add-keys'|'tail --namespace'|'tail --template'|'tail --exec'|'tail --exec-errors'|'tail --exec-timeout'|'tail --settle'|'tail --stall'|'tail --concurrency'|'tail --retries'|'tail --storage-option'|'tail --profile'|'tail --region'|'tail --endpoint-url'|'tail --max-cbor-bytes'|'tail --max-cbor-depth'|'tail --max-cbor-items'|'tail --max-ndim'|'tail --max-objects'|'tail --max-decoded-bytes'|'tail --max-retained-bytes'|'tail --max-senders') return ;;
            'scan --unit') _tgmtool_words 'object message frame' "$typed"; return ;;
            'scan --match') _tgmtool_words 'any all first' "$typed"; return ;;
            'scan --format') _tgmtool_words 'table tsv csv ndjson json' "$typed"; return ;;
            'scan --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'scan -w'|'scan --where'|'scan -p'|'scan --keys'|'scan -P'|'scan --add-keys'|'scan --namespace'|'scan --sort'|'scan --limit'|'scan --group-by'|'scan --concurrency'|'scan --retries'|'scan --timeout'|'scan --storage-option'|'scan --profile'|'scan --region'|'scan --endpoint-url'|'scan --max-cbor-bytes'|'scan --max-cbor-depth'|'scan --max-cbor-items'|'scan --max-ndim'|'scan --max-objects'|'scan --max-decoded-bytes'|'scan --max-retained-bytes'|'scan --max-senders') return ;;
            'validate --schema') _tgmtool_files any "$typed"; return ;;
            'validate --expect') _tgmtool_files any "$typed"; return ;;
            'validate --format') _tgmtool_words 'text json ndjson junit sarif github' "$typed"; return ;;
            'validate --files-from') _tgmtool_files any "$typed"; return ;;
            'validate --progress') _tgmtool_words 'auto always never' "$typed"; return ;;
            'validate --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'validate --ignore'|'validate --min-messages'|'validate --require'|'validate --against'|'validate --atol'|'validate --rtol'|'validate --report'|'validate -J'|'validate --jobs'|'validate --concurrency'|'validate --retries'|'validate --timeout'|'validate --storage-option'|'validate --profile'|'validate --region'|'validate --endpoint-url'|'validate --max-cbor-bytes'|'validate --max-cbor-depth'|'validate --max-cbor-items'|'validate --max-ndim'|'validate --max-objects'|'validate --max-decoded-bytes'|'validate --max-retained-bytes'|'validate --max-senders') return ;;
            'backfill -o'|'backfill --output') _tgmtool_files any "$typed"; return ;;
            'backfill --files-from') _tgmtool_files any "$typed"; return ;;
            'backfill --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'backfill --stall'|'backfill --min-age'|'backfill --backup-suffix'|'backfill -J'|'backfill --jobs'|'backfill --max-cbor-bytes'|'backfill --max-cbor-depth'|'backfill --max-cbor-items'|'backfill --max-ndim'|'backfill --max-objects'|'backfill --max-decoded-bytes'|'backfill --max-retained-bytes'|'backfill --max-senders') return ;;
            'cat-remote --as') _tgmtool_words 'tgm npy npz raw json ndjson' "$typed"; return ;;
            'cat-remote -o'|'cat-remote --output') _tgmtool_files any "$typed"; return ;;
            'cat-remote --format') _tgmtool_words 'table tsv csv ndjson json' "$typed"; return ;;
            'cat-remote --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'cat-remote -w'|'cat-remote --where'|'cat-remote --message'|'cat-remote --object'|'cat-remote --range'|'cat-remote --offset'|'cat-remote --length'|'cat-remote --index'|'cat-remote -s'|'cat-remote --sleep'|'cat-remote --reconnect-timeout'|'cat-remote --progress'|'cat-remote -J'|'cat-remote --jobs'|'cat-remote --max-bytes'|'cat-remote -p'|'cat-remote --keys'|'cat-remote -P'|'cat-remote --add-keys'|'cat-remote --namespace'|'cat-remote --concurrency'|'cat-remote --retries'|'cat-remote --timeout'|'cat-remote --storage-option'|'cat-remote --profile'|'cat-remote --region'|'cat-remote --endpoint-url'|'cat-remote --max-cbor-bytes'|'cat-remote --max-cbor-depth'|'cat-remote --max-cbor-items'|'cat-remote --max-ndim'|'cat-remote --max-objects'|'cat-remote --max-decoded-bytes'|'cat-remote --max-retained-bytes'|'cat-remote --max-senders') return ;;
            'pipe --match') _tgmtool_words 'any all first' "$typed"; return ;;
            'pipe --tee') _tgmtool_files any "$typed"; return ;;
            'pipe --on-error') _tgmtool_words 'stop skip pass' "$typed"; return ;;
            'pipe --failed') _tgmtool_files any "$typed"; return ;;
            'pipe --summary') _tgmtool_files any "$typed"; return ;;
            'pipe --progress') _tgmtool_words 'auto always never' "$typed"; return ;;
            'pipe --color') _tgmtool_words 'auto always never' "$typed"; return ;;
            'pipe -w'|'pipe --where'|'pipe --split'|'pipe -B'|'pipe --buffer'|'pipe --depth'|'pipe --memory-budget'|'pipe --idle-timeout'|'pipe --stall-timeout'|'pipe --item-timeout'|'pipe --timeout'|'pipe --warn-after'|'pipe --grace'|'pipe -L'|'pipe --rate'|'pipe -S'|'pipe --size'|'pipe --ref-threshold'|'pipe --max-names'|'pipe --max-processes'|'pipe --name'|'pipe --stderr-limit'|'pipe --interval'|'pipe --max-cbor-bytes'|'pipe --max-cbor-depth'|'pipe --max-cbor-items'|'pipe --max-ndim'|'pipe --max-objects'|'pipe --max-decoded-bytes'|'pipe --max-retained-bytes'|'pipe --max-senders') return ;;
        esac
        if [[ -n $equals ]]; then return; fi
        if [[ $typed == -* ]]; then
            case $command in
                '') _tgmtool_words '-V --version -v --verbose -q --quiet --color -h --help' "$typed" ;;
                'encode') _tgmtool_words '-o --output --from --dtype --shape --split-axis --group --name --dims -s --set --extra --meta --variable --encoding --bits --error-bound --convert --filter --compression --compression-level --param --allow-nan --allow-inf --nan-mask-method --pos-inf-mask-method --neg-inf-mask-method --small-mask-threshold --pre-encoded --descriptor --hash --no-hash --layout --preceder --no-preceder --no-backfill --append --repair-tail --commit --fsync --reproducible --pace --id --chan --sender --end --mode --in-reply-to --note --error --code --max-messages --max-bytes --rotate --ack --window --backpressure-timeout --wait-ack -f --force -J --jobs -j --json -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'tail') _tgmtool_words '-n --last -f --follow -F --retry -s --sleep --watch --pid --while --until-exists --until --count --idle-timeout --reconnect-timeout --timeout --wait-for --unit --from --chan --producers --require-end --forever --any --commit --state --state-every --state-reset --ack --ack-sender -w --where -p --keys -P --add-keys -m --mars --namespace --raw -j --json --format --template --exec --exec-errors --exec-timeout --stats --progress --verify --no-verify --settle --stall --assume-dead --force --concurrency --retries --storage-option --profile --region --endpoint-url --anon -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'scan') _tgmtool_words '--unit -w --where --match -p --keys -P --add-keys -m --mars --namespace --sort --limit --summary --group-by --values --tree --format -j --json --strict --assume-dead -e --exit-status --concurrency --retries --timeout --storage-option --profile --region --endpoint-url --anon -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'validate') _tgmtool_words '--quick --checksum --full --canonical --stream --require-end --strict --ignore --allow-empty --allow-incomplete --min-messages --require-hash --require --schema --expect --against --atol --rtol --format -j --json --isolate --report --exit-zero --assume-dead -x --fail-fast --files-from -0 --null -J --jobs --progress --concurrency --retries --timeout --storage-option --profile --region --endpoint-url --anon -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'backfill') _tgmtool_words '-o --output --check --dry-run -j --json --salvage --in-place --undo --keep-unhashed --assume-dead --stall --reindex --rehash --min-age --backup-suffix -f --force --files-from -0 --null -J --jobs -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'cat-remote') _tgmtool_words '-w --where --message --object --range --offset --length --list --plan --as -o --output -f --force --verify --no-verify --restore --no-restore --index --follow -s --sleep --reconnect-timeout --progress -J --jobs --stats --max-bytes --allow-full-read -p --keys -P --add-keys -m --mars --namespace --format -j --json --concurrency --retries --timeout --storage-option --profile --region --endpoint-url --anon -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
                'pipe') _tgmtool_words '-w --where --match --verify --tee --split -B --buffer --depth --memory-budget --on-error --unordered --idle-timeout --stall-timeout --item-timeout --timeout --warn-after --grace -L --rate -S --size --ref-threshold --max-names --max-processes --keep-going --failed --summary --name --stderr-limit --progress --interval -f --force -v --verbose -q --quiet --color -h --help --max-cbor-bytes --max-cbor-depth --max-cbor-items --max-ndim --max-objects --max-decoded-bytes --max-retained-bytes --max-senders' "$typed" ;;
            esac
            return
        fi
    fi
    case $command in
        '') _tgmtool_words 'encode tail scan validate backfill cat-remote pipe' "$typed" ;;
        'encode') _tgmtool_files any "$typed" ;;
        'tail') _tgmtool_files tgm "$typed" ;;
        'scan') _tgmtool_files tgm "$typed" ;;
        'validate') _tgmtool_files any "$typed" ;;
        'backfill') _tgmtool_files any "$typed" ;;
        'cat-remote') _tgmtool_files any "$typed" ;;
        'pipe') _tgmtool_files any "$typed" ;;
    esac
}

complete -F _tgmtool tgmtool
