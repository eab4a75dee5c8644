#!/usr/bin/env bash
# The node of a test cluster: scheduler, DNS, Service rules, container runtime, kubelet.
# Sourced by init, which sets the names in capitals. It must never write to the machine: what these programs insist on
# writing outside STATE is covered by mounts that only this cluster sees.
: "${STATE:?}" "${BIN:?}" "${HERE:?}" "${HOST:?}" "${BRIDGE:?}" "${PODS:?}" "${SERVICES:?}"

# Paths that cannot be set: shim sockets, CNI's cache, device plugins, log links (setup.sh makes the mount points).
cover_folders() {
  local folder
  for folder in /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/containers; do
    [ -d "$folder" ] || stop "no folder $folder: run tests/cluster/setup.sh"
    mount -t tmpfs tmpfs "$folder"
  done
  mount --make-rshared /
}

# The same hierarchies as the machine's, mounted anew: inside the cgroup namespace their root is this cluster's own cgroup.
# Version 2 wants processes in leaves only, so this one moves aside before the controllers are handed down.
own_cgroups() {
  local mounts point kind options
  mounts=$(grep '^[^ ]* /sys/fs/cgroup' /proc/mounts)
  umount -R -l /sys/fs/cgroup
  grep -q ' /sys/fs/cgroup cgroup2 ' <<< "$mounts" || mount -t tmpfs tmpfs /sys/fs/cgroup
  while read -r _ point kind options _; do
    case $kind in
      cgroup2)
        mkdir -p "$point"
        mount -t cgroup2 cgroup2 "$point" ;;
      cgroup) one_hierarchy "$point" "$options" ;;
    esac
  done <<< "$mounts"
  [ -e /sys/fs/cgroup/cgroup.controllers ] || return 0
  mkdir /sys/fs/cgroup/parts
  echo $$ > /sys/fs/cgroup/parts/cgroup.procs
  sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
}

one_hierarchy() { # mount point, the options of the machine's mount: of these only the controllers or the name
  local wanted controller
  wanted=$(tr , '\n' <<< "$2" | grep -vE '^(rw|ro|nosuid|nodev|noexec|.*atime|xattr|clone_children|release_agent=.*|seclabel)$' | paste -sd, -)
  mkdir "$1"
  mount -t cgroup -o "${wanted/#name=/none,name=}" cgroup "$1"
  for controller in ${wanted//,/ }; do
    [ -e "/sys/fs/cgroup/$controller" ] || [ "${controller#name=}" != "$controller" ] || ln -s "${1##*/}" "/sys/fs/cgroup/$controller"
  done
}

# kubelet sets these for the whole machine and does not start when it cannot: it gets plain files to write to.
cover_tunables() {
  local tunable file
  mkdir -p "$STATE/tunables"
  for tunable in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    file=$STATE/tunables/${tunable//\//-}
    cat "/proc/sys/$tunable" > "$file"
    mount --bind "$file" "/proc/sys/$tunable"
  done
}

# So that names of Services mean something to tests and to curl in here too.
cover_resolver() {
  printf 'nameserver %s\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n' "$HOST" > "$STATE/resolv.conf"
  [ ! -e /etc/resolv.conf ] || mount --bind "$STATE/resolv.conf" /etc/resolv.conf
}

start_scheduler() {
  start scheduler "$BIN/kube-scheduler" --kubeconfig "$STATE/components.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
    --authentication-kubeconfig "$STATE/components.kubeconfig" --authorization-kubeconfig "$STATE/components.kubeconfig"
}

# No forwarding: a name from outside has no answer in here.
start_coredns() {
  cat > Corefile <<K
.:53 {
  bind $HOST
  kubernetes cluster.local {
    kubeconfig $STATE/components.kubeconfig rollcall
    ttl 1
  }
}
K
  start coredns "$BIN/coredns" -conf "$STATE/Corefile"
}

start_proxy() {
  cat > proxy.yaml <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node-1
bindAddress: 127.0.0.1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clusterCIDR: $PODS
oomScoreAdj: 0
clientConnection: {kubeconfig: $STATE/components.kubeconfig}
conntrack: {maxPerCore: 0, min: 0}
K
  start proxy "$BIN/kube-proxy" --config "$STATE/proxy.yaml"
}

network_plugins() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin; do
    [ ! -x $folder/bridge ] || { echo $folder; return; }
  done
  stop "no CNI plugins: run tests/cluster/setup.sh"
}

# A layer of overlayfs cannot lie on another overlay (a container's own root, for instance).
snapshotter() {
  mkdir -p probe/{lower,upper,work,merged}
  if mount -t overlay overlay -o lowerdir=probe/lower,upperdir=probe/upper,workdir=probe/work probe/merged 2>/dev/null; then
    umount probe/merged
    echo overlayfs
  else
    echo native
  fi
}

# restrict_oom_score_adj: lowering the score takes CAP_SYS_RESOURCE, which a container or a small virtual machine may lack.
start_containerd() {
  local plugins
  plugins=$(network_plugins)
  mkdir -p cni
  cat > cni/10-bridge.conflist <<K
{"cniVersion":"1.0.0","name":"rollcall","plugins":[
  {"type":"bridge","bridge":"$BRIDGE","isGateway":true,"hairpinMode":true,
   "ipam":{"type":"host-local","dataDir":"$STATE/ipam","ranges":[[{"subnet":"$PODS"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
K
  cat > containerd.toml <<K
version = 2
root = "$STATE/containerd"
state = "$STATE/containerd-run"
[grpc]
  address = "$STATE/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  disable_tcp_service = true
  sandbox_image = "rollcall.local/pause:1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter)"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$STATE/cni"
K
  start containerd containerd --config "$STATE/containerd.toml"
}

# The program that holds a pod's namespaces, made once for a source.
pause_image() {
  local sum image
  sum=$(cat "$HERE/pause.c" "$HERE/image.py" | sha256sum | cut -c1-16)
  image=$HOME/.cache/rollcall/images/pause-$sum.tar
  if [ ! -f "$image" ]; then
    mkdir -p "${image%/*}"
    musl-gcc -static -Os -s -o pause "$HERE/pause.c" || stop "cannot compile pause.c"
    "$HERE/image.py" rollcall.local/pause:1 pause.tar pause=/pause
    mv pause.tar "$image"
  fi
  await containerd 20 ctr -a "$STATE/containerd.sock" -n k8s.io images import "$image"
}

# syncFrequency: the default of a minute would make a mounted ConfigMap late by as much; 5 s gives 2 to 7 s.
# crashLoopBackOff: tests kill containers on purpose; with the default, each is started later than the time before, by up to 5 minutes.
start_kubelet() {
  cat > kubelet.yaml <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix://$STATE/containerd.sock
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
syncFrequency: 5s
crashLoopBackOff: {maxContainerRestartPeriod: 10s}
address: $HOST
readOnlyPort: 0
tlsCertFile: $STATE/server.crt
tlsPrivateKeyFile: $STATE/server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$HOST]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
podLogsDir: $STATE/pod-logs
volumePluginDir: $STATE/volume-plugins
evictionHard: {memory.available: 1Mi, nodefs.available: 1%}
K
  start kubelet "$BIN/kubelet" --config "$STATE/kubelet.yaml" --kubeconfig "$STATE/components.kubeconfig" \
    --hostname-override=node-1 --root-dir="$STATE/kubelet" --node-ip="$HOST"
}

node_ready() {
  get /api/v1/nodes/node-1 | jq -e '.status.conditions[] | select(.type == "Ready" and .status == "True")'
}

# The API server's own Service answers: from here on pods reach it by its address.
services_ready() {
  curl -fsS --max-time 1 --noproxy '*' --cacert ca.crt --cert admin.crt --key admin.key https://10.96.0.1/readyz
}

node() {
  cover_folders
  own_cgroups
  cover_tunables
  cover_resolver
  start_containerd
  start_scheduler
  start_coredns
  start_proxy
  pause_image
  start_kubelet
  await kubelet 90 node_ready
  await proxy 90 services_ready
}
