#!/usr/bin/env bash
# The part of a test cluster without a node: the fenced network, certificates, etcd, API server, controller-manager.
# Sourced by init, which sets the names in capitals. It must never let a packet leave the cluster's network namespace.
: "${STATE:?}" "${AUDIT:?}" "${BIN:?}" "${HOST:?}" "${BRIDGE:?}" "${SERVICES:?}" "${PORT:?}"

# A packet to an address that is nobody's leaves a machine, and something out there may even answer. Three fences, though the
# namespace has no way out of its own: our address is checked before anything is told to use it; Services are routed to
# the bridge (kube-proxy's first rules come late); nothing is forwarded from the pods to elsewhere.
network() {
  ip link set lo up
  ip link add "$BRIDGE" type bridge
  ip addr add "$HOST/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  ip -br addr show "$BRIDGE" | grep -q "$HOST/24" || stop "no $HOST on $BRIDGE"
  ip route add "$SERVICES" dev "$BRIDGE"
  nft -f - <<K
table ip rollcall-fence {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "$BRIDGE" oifname != "$BRIDGE" drop
  }
}
K
  echo 1 > /proc/sys/net/ipv4/ip_forward
  # Loads open a connection for each request: 800 a second leave more of them closing (60 s each) than there are ports (28,000).
  echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse
}

key() { # file
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null
}

certificate() { # name, subject
  key "$1.key"
  openssl req -new -key "$1.key" -out "$1.csr" -subj "$2"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" -days 30 -extfile names 2>/dev/null
}

kubeconfig() { # user: with the bytes and not the paths, so that it can be handed on
  cat > "$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: rollcall, cluster: {server: "https://$HOST:$PORT", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: rollcall, context: {cluster: rollcall, user: $1}}]
current-context: rollcall
K
  chmod 600 "$1.kubeconfig"
}

certificates() {
  local kubernetes=DNS:kubernetes.default.svc.cluster.local,DNS:kubernetes.default.svc,DNS:kubernetes.default,DNS:kubernetes
  echo "subjectAltName=DNS:localhost,$kubernetes,DNS:node-1,IP:127.0.0.1,IP:$HOST,IP:10.96.0.1" > names
  key sa.key
  openssl pkey -in sa.key -pubout -out sa.pub
  key ca.key
  openssl req -x509 -key ca.key -out ca.crt -subj /CN=rollcall-test-ca -days 30
  certificate server /CN=kube-apiserver
  certificate admin /O=system:masters/CN=admin
  certificate components /O=system:masters/CN=components
  kubeconfig admin
  kubeconfig components
  export KUBECONFIG=$STATE/admin.kubeconfig
}

start_etcd() {
  start etcd "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
}

audit_flags() {
  [ "$AUDIT" = yes ] || return 0
  printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n' > audit.yaml
  echo "--audit-policy-file=$STATE/audit.yaml --audit-log-path=$STATE/audit.log --audit-log-maxsize=1000"
}

start_apiserver() {
  local audited
  read -ra audited <<< "$(audit_flags)"
  start apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$STATE/certs" \
    --tls-cert-file="$STATE/server.crt" --tls-private-key-file="$STATE/server.key" --client-ca-file="$STATE/ca.crt" \
    --bind-address="$HOST" --advertise-address="$HOST" --secure-port="$PORT" --service-cluster-ip-range="$SERVICES" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$STATE/sa.pub" \
    --service-account-signing-key-file="$STATE/sa.key" --authorization-mode=RBAC --allow-privileged=true \
    --kubelet-preferred-address-types=InternalIP --kubelet-client-certificate="$STATE/components.crt" \
    --kubelet-client-key="$STATE/components.key" "${audited[@]}"
}

# Its own limit of 20 requests a second would stretch its start, one ServiceAccount a controller, to 4 s.
start_controller_manager() {
  start controller-manager "$BIN/kube-controller-manager" --kubeconfig "$STATE/components.kubeconfig" --leader-elect=false \
    --service-account-private-key-file="$STATE/sa.key" --root-ca-file="$STATE/ca.crt" --use-service-account-credentials=true \
    --kube-api-qps=500 --kube-api-burst=1000 --bind-address=127.0.0.1 --authentication-kubeconfig "$STATE/components.kubeconfig" \
    --authorization-kubeconfig "$STATE/components.kubeconfig"
}

get() { # path
  curl -fsS --max-time 2 --noproxy '*' --cacert ca.crt --cert admin.crt --key admin.key "https://$HOST:$PORT$1"
}

# Ready means here: a Pod can be made, which takes the namespace's ServiceAccount.
control_plane() {
  start_etcd
  start_apiserver
  await apiserver 90 get /readyz
  start_controller_manager
  await controller-manager 60 get /api/v1/namespaces/default/serviceaccounts/default
}
