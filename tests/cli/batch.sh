# A batch job: a model writes, one consumer drives the workflow, another waits for the last step.
# The caller has put `model`, `tgmtool` and `ecflow_client` on PATH, and set RUN, STATE, STEPS.
set -euo pipefail
# A writer whose disk fills up, as a quota does it. Python gets an error, not a signal.
if [ -n "${QUOTA_KIB:-}" ]; then ulimit -f "$QUOTA_KIB"; fi
model --framed | tgmtool encode --from framed -s mars.class=rd --compression zstd --commit inplace -o "$RUN" &
WRITER=$!
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
tgmtool tail -F -n +1 --pid "$WRITER" --state "$STATE" -q \
  --exec 'ecflow_client --meter=step {mars.step}' "$RUN" &
METER=$!
# --until ends with the last step, before the file is closed: 1 if the stream ends without it.
tgmtool tail -F -n +1 --pid "$WRITER" --until "mars.step=$STEPS" --idle-timeout "${IDLE:-20m}" -q "$RUN"
wait "$WRITER" # one by one: `wait` alone forgets how they ended
wait "$METER"
tgmtool validate --full --stream --require-end --require mars.step --report junit=tgm.xml "$RUN"
git ls-files -z '*.tgm' | tgmtool validate --full --files-from - -0 --format github
tgmtool cat-remote "$RUN" -w "mars.param=2t,mars.step=0/to/$STEPS/by/6" --plan
