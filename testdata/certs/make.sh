#!/usr/bin/env bash
# Makes the certificates of the hand-made TLS captures: a root (not sent), an intermediate, a valid and an expired leaf.
# The keys are thrown away. Running it again gives other keys, so the captures have to be made again afterwards.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/new"
: > "$work/index"
cat > "$work/ca.conf" <<CONF
[ca]
default_ca = lab
[lab]
database = $work/index
new_certs_dir = $work/new
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:shop.example, DNS:*.shop.example
[req]
distinguished_name = name
[name]
CONF
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$work/$1.key"; }
sign() { # name issuer extensions from to subject
  key "$1"
  openssl req -new -config "$work/ca.conf" -key "$work/$1.key" -subj "$6" -out "$work/$1.csr"
  local self=(-cert "$work/$2.pem" -keyfile "$work/$2.key")
  [ "$1" = "$2" ] && self=(-selfsign -keyfile "$work/$1.key")
  openssl ca -batch -notext -config "$work/ca.conf" "${self[@]}" -extensions "$3" -startdate "$4" -enddate "$5" \
    -in "$work/$1.csr" -out "$work/$1.pem" 2> /dev/null
  openssl x509 -in "$work/$1.pem" -outform DER -out "$work/$1.der"
}
sign root root authority 20240101000000Z 20440101000000Z "/O=Example/CN=Example Root"
sign intermediate root authority 20250101000000Z 20350101000000Z "/O=Example/CN=Example Issuing CA"
sign leaf intermediate leaf 20260901000000Z 20270901000000Z "/O=Example/CN=shop.example"
sign expired intermediate leaf 20250901000000Z 20261101000000Z "/O=Example/CN=shop.example"
# An intermediate that expired three days before the captures and its leaf, a leaf that is its own issuer, and one of a root.
sign old_intermediate root authority 20240101000000Z 20261107000000Z "/O=Example/CN=Example Old CA"
sign under_old old_intermediate leaf 20260901000000Z 20270901000000Z "/O=Example/CN=shop.example"
sign self_signed self_signed leaf 20260901000000Z 20270901000000Z "/O=Example/CN=shop.example"
cp "$work"/{intermediate,leaf,expired,old_intermediate,under_old,self_signed}.der .
