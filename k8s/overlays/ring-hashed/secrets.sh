#!/bin/sh
# Makes what the overlay needs and git must not have, in DIRECTORY: two authorities, the issuer's certificate, a token for each node.
# usage: secrets.sh DIRECTORY NAMESPACE NODES [SUBJECT-ALTERNATIVE-NAME], then the commands that it prints.
set -eu
directory=$1 namespace=$2 nodes=$3
names=${4:-DNS:ring-issuer.$namespace.svc.cluster.local}
umask 077
mkdir -p "$directory/tokens"
cd "$directory"
for name in web nodes; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=ring $name" \
        -addext keyUsage=critical,keyCertSign -keyout "$name.key" -out "$name.pem" 2>/dev/null
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=ring-issuer" \
    -keyout issuer.key -out issuer.csr 2>/dev/null
echo "subjectAltName=$names" > issuer.names
openssl x509 -req -in issuer.csr -CA web.pem -CAkey web.key -CAcreateserial -days 365 -extfile issuer.names \
    -out issuer.pem 2>/dev/null
number=0
while [ "$number" -lt "$nodes" ]; do
    openssl rand -hex 24 > "tokens/ring-$number"
    number=$((number + 1))
done
cat tokens/ring-* > tokens/all
cat <<COMMANDS
kubectl -n $namespace create secret generic ring-tokens --from-file=$PWD/tokens
kubectl -n $namespace create secret tls ring-authority --cert=$PWD/nodes.pem --key=$PWD/nodes.key
kubectl -n $namespace create secret tls ring-issuer-web --cert=$PWD/issuer.pem --key=$PWD/issuer.key
kubectl -n $namespace create configmap ring-trust --from-file=$PWD/web.pem --from-file=$PWD/nodes.pem
COMMANDS
