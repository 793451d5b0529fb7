#!/usr/bin/env bash
# EcoServe on a kind cluster: build the image, make the cluster, install the chart, place a small serving and a Job.
# Run by `make kind-demo`. It may be run again: what is there already is kept or updated.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cluster=ecoserve
namespace=ecoserve-system

fail() {
    echo "kind-demo: $1" >&2
    exit 1
}

for tool in docker kind; do
    command -v "$tool" >/dev/null || fail "$tool is not on PATH; install it, or run \`make demo\`, which needs neither."
done
docker info >/dev/null 2>&1 || fail "Docker does not answer; start it and run this again."

# kubectl and helm of any recent version do; where they are missing, those of the development cluster are built once.
tool() {
    command -v "$1" || .venv/bin/ecoserve-devcluster binary "$1"
}
kubectl=$(tool kubectl)
helm=$(tool helm)
on_cluster() {
    "$kubectl" --context "kind-$cluster" "$@"
}

version=$(sed -n 's/^appVersion: "\(.*\)"$/\1/p' helm/ecoserve/Chart.yaml)
echo "== Building the image ecoserve:$version"
docker build --tag "ecoserve:$version" .

echo "== Starting the cluster"
if ! kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    kind create cluster --name "$cluster" --config kind-config.yaml
fi
kind load docker-image --name "$cluster" "ecoserve:$version"

echo "== Advertising one pretended GPU on each worker that is labelled as having one"
for node in $(on_cluster get nodes --selector nvidia.com/gpu.product --output name); do
    on_cluster patch "$node" --subresource=status --type=merge \
        --patch '{"status": {"capacity": {"nvidia.com/gpu": "1"}}}'
done

echo "== Installing the chart"
on_cluster create namespace "$namespace" --dry-run=client --output yaml | on_cluster apply -f -
on_cluster label namespace "$namespace" --overwrite pod-security.kubernetes.io/enforce=privileged   # host networking
"$helm" --kube-context "kind-$cluster" upgrade --install ecoserve helm/ecoserve \
    --namespace "$namespace" --values examples/kind/values.yaml --wait --timeout 5m

echo "== Placing a serving and offline work"
on_cluster apply -f examples/gridzones.yaml -f examples/kind/serving.yaml -f examples/offline-job.yaml
on_cluster wait llmserving/small --for=condition=Ready --timeout=3m
on_cluster wait job/score-documents --for=condition=Complete --timeout=5m

on_cluster get llmservings,gridzones,placementplans --output wide
on_cluster get pods --output wide
echo "== Look around with: kubectl --context kind-$cluster; end it with: kind delete cluster --name $cluster"
