#!/usr/bin/env bash
# Runs the end-to-end suite against the functions as they are deployed, each a process of `bootstrap`, behind `cargo
# lambda watch`, and invokes functions with the sample events. Needs cargo-lambda (`pip install cargo-lambda`) and the
# ports 8100 to 8103 and 9100.
set -euo pipefail
cd "$(dirname "$0")/.."

port=8100
lambda=http://127.0.0.1:9100
logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true' EXIT

wait_for() { # a port, the process that opens it, its log
    for _ in $(seq 3000); do
        if (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        kill -0 "$2" 2>/dev/null || break
        sleep 0.1
    done
    echo "Port $1 did not open:" >&2
    cat "$3" >&2
    return 1
}

cargo build --locked --bins --tests
# All users of the suite have one address, and send more than people do.
parameters=()
for limit in PostsPerMinute MarkersPerMinute LookupsPerHour SocketsPerUser AttemptsPerAddress; do
    parameters+=(--parameter "$limit=0")
done
exports=$(target/debug/confab --port $port --no-web "${parameters[@]}" --env)
eval "$exports"
target/debug/confab --port $port --no-web "${parameters[@]}" --lambda "$lambda" >"$logs/confab.log" 2>&1 &
cloud=$!
tests/lambda_watch.sh 9100 >"$logs/watch.log" 2>&1 &
watch=$!
wait_for $port $cloud "$logs/confab.log"
wait_for 9100 $watch "$logs/watch.log"

for event in events/*.json; do
    function=$(basename "$event" .json)
    response=$(cargo lambda invoke --invoke-address 127.0.0.1 --invoke-port 9100 "$function" --data-file "$event")
    echo "$function: $response"
done

export CONFAB_URL="http://127.0.0.1:$port" CONFAB_WEBSOCKET_URL="ws://127.0.0.1:$port/ws"
export FANOUT_QUEUE_URL="$AWS_ENDPOINT_URL_SQS/000000000000/confab-FanoutQueue.fifo"
# Without those that are about the sources or the laptop cloud alone.
cargo test --locked --test it -- --skip cost:: --skip layers:: --skip laptop_cloud:: --skip permissions::each ||
    { echo "The logs are in $logs." >&2; exit 1; }
