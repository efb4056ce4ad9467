#!/usr/bin/env bash
# Runs Tamis on a Spark cluster: spark-submit starts Beam's job server there, and `tamis run` submits its
# job to that server.
#
#   deploy/spark-submit.sh spark://master:7077 \
#     run recipe.yaml --input 's3://crawl/*.jsonl.zst' --output s3://corpus/run
#
# Needs spark-submit 3.x and tamis on PATH here, and tamis at the same path on every node (at another
# path: --option worker=PATH). Spark's settings come from the environment:
# SPARK_CONF='--conf spark.executor.memory=2g' deploy/spark-submit.sh …
set -euo pipefail

if (($# < 2)); then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
master=$1
shift
job_server=${BEAM_JOB_SERVER:-org.apache.beam:beam-runners-spark-3-job-server:2.77.0}
port=${JOB_PORT:-8099}
read -ra settings <<<"${SPARK_CONF:-}"

# spark-submit takes a jar as it is, and fetches a Maven name.
case $job_server in
*.jar) jar=(--jars "$job_server" "$job_server") ;;
*) jar=(--packages "$job_server" spark-internal) ;;
esac
spark-submit --master "$master" --class org.apache.beam.runners.spark.SparkJobServerDriver "${settings[@]}" "${jar[@]}" \
    --spark-master-url="$master" --job-port="$port" --artifact-port=0 --expansion-port=0 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT

until (exec 3<>"/dev/tcp/localhost/$port") 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "spark-submit ended before Beam's job server answered" >&2 && exit 1; }
    sleep 0.5
done
tamis "$@" --runner spark --option "job_endpoint=localhost:$port"
